"""The servers that the clients meet: pinport itself, moto's S3 and STS, and a store that never answers. Each runs on
loopback in a temporary folder until its `with` block ends."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

PATIENCE = 60


def clean_environment(**more):
    """The environment without what would lead a client or a server elsewhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PINPORT_"))}
    return {**kept, **more}


class Process:
    """A child that is ended with its block; what it says lies in a file."""

    def __init__(self, name):
        self.folder = Path(tempfile.mkdtemp(prefix=f"pinport-{name}-"))
        self.log_path = self.folder / "log"
        self.child = None

    def spawn(self, command, environment):
        log = self.log_path.open("ab")
        self.child = subprocess.Popen(
            [str(word) for word in command], env=environment, cwd=self.folder,
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )
        log.close()

    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_until(self, ready, what):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self.child.poll() is not None:
                raise SystemExit(f"{what} ended with {self.child.returncode}:\n{self.log()[-3000:]}")
            found = ready()
            if found:
                return found
            time.sleep(0.05)
        raise SystemExit(f"{what} is not there after {PATIENCE} s:\n{self.log()[-3000:]}")

    def __exit__(self, *_):
        if self.child and self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Pinport(Process):
    """`pinport serve` with a configuration; `url` is where it listens."""

    def __init__(self, binary, config):
        super().__init__("serve")
        self.binary = binary
        file = self.folder / "pinport.toml"
        file.touch(mode=0o600)
        file.write_text(config)

    def __enter__(self):
        self.spawn(
            [self.binary, "serve", "--listen", "127.0.0.1:0", "--data", self.folder / "data"],
            clean_environment(HOME=str(self.folder)),
        )
        said = lambda: next((word for word in self.log().replace(",", " ").split() if word.startswith("http://")), None)
        self.url = self.wait_until(said, "pinport serve")
        return self


class Moto(Process):
    """moto's server: S3, STS and IAM, all at one address."""

    def __enter__(self):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        # Every request is checked from the moment that `enforce` says so.
        environment = clean_environment(HOME=str(self.folder), INITIAL_NO_AUTH_ACTION_COUNT="1000000")
        self.spawn([Path(sys.prefix) / "bin" / "moto_server", "-H", "127.0.0.1", "-p", self.port], environment)
        self.wait_until(self.answers, "moto_server")
        return self

    def answers(self):
        try:
            with urllib.request.urlopen(f"{self.url}/moto-api/", timeout=5):
                return True
        except OSError:
            return False

    def enforce(self):
        """From here on moto checks signatures and policies."""
        self.ask("POST", "/moto-api/reset-auth", b"0")

    def record(self):
        """From here on moto keeps what it is asked."""
        self.ask("POST", "/moto-api/recorder/start-recording")

    def recorded(self):
        """The queries of the requests that were kept."""
        lines = self.ask("GET", "/moto-api/recorder/download-recording").decode().splitlines()
        return [dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(json.loads(line)["url"]).query)) for line in lines]

    def ask(self, method, path, body=b""):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request(method, path, body)
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status == 200, (path, answer.status)
        connection.close()
        return content


class Silent:
    """A store that takes connections and never answers."""

    def __enter__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        return self

    def __exit__(self, *_):
        self.socket.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
