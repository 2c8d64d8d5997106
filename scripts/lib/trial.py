"""What the scripts share that import from a real store: a built pinport, an import into a new folder, the verdict."""

import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent


class Wrong(Exception):
    """What should have been and what was."""


class Trial:
    """Imports from a store whose `environment` tells where it is."""

    def __init__(self, pinport, environment):
        self.pinport = pinport
        self.environment = environment

    def rows(self, count, start=0):
        return subprocess.check_output([self.pinport, "sample", "--rows", str(count), "--start", str(start)])

    def run(self, source, **environment):
        """Imports into a new store; returns the exit code, the answer and what was said."""
        with tempfile.TemporaryDirectory(prefix="pinport-try-") as data:
            done = subprocess.run(
                [self.pinport, "import", source, "--format", "json", "--segment", "everyone", "--data", data, "--json"],
                env={**os.environ, **self.environment, **environment}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            )
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            answer = {}
        return done.returncode, answer, done.stderr

    def expect(self, source, processed, failures=0, **environment):
        code, answer, said = self.run(source, **environment)
        found = (code, answer.get("TotalProcessed"), answer.get("TotalFailures", 0))
        expected = (3 if failures else 0, processed, failures)
        if found != expected:
            raise Wrong(f"{source}: expected (exit code, read, failed) {expected}, found {found}; {answer.get('Error') or said.strip()[-600:]}")

    def expect_refusal(self, source, word, **environment):
        code, _, said = self.run(source, **environment)
        if code not in (1, 2) or word not in said or "panicked" in said:
            raise Wrong(f"{source}: expected a refusal that says {word!r}, found exit code {code}: {said.strip()[-600:]}")
        return said.strip().splitlines()[-1]

    def expect_places(self, prefix, *urls):
        """The URLs that a server lists to whoever types a source."""
        with tempfile.TemporaryDirectory(prefix="pinport-try-") as data:
            server = subprocess.Popen(
                [self.pinport, "serve", "--data", data, "--listen", "127.0.0.1:0"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                env={**os.environ, **self.environment}, text=True,
            )
            try:
                address = re.search(r"http://[^,\s]+", server.stderr.readline()).group()
                query = urllib.parse.urlencode({"prefix": prefix})
                with urllib.request.urlopen(f"{address}/pinport/v1/sources?{query}", timeout=30) as answer:
                    found = [place["url"] for place in json.load(answer)["places"]]
            except urllib.error.HTTPError as error:
                raise Wrong(f"{prefix}: {error}: {error.read().decode()[-600:]}") from error
            finally:
                server.terminate()
                server.wait()
        if found != list(urls):
            raise Wrong(f"below {prefix!r}: expected {list(urls)}, found {found}")


def build():
    """The path of pinport, built if need be."""
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=TOP, check=True)
    return TOP / (os.environ.get("CARGO_TARGET_DIR") or "target") / "release" / "pinport"


def run_cases(cases):
    """Runs functions by name and prints a line for each; the number that failed."""
    wrong = 0
    for name, case in cases.items():
        begin = time.monotonic()
        try:
            print(f"ok      {name}: {case()} ({time.monotonic() - begin:.1f} s)", flush=True)
        except Wrong as error:
            wrong += 1
            print(f"FAILED  {name}: {error}", flush=True)
    print(f"{len(cases) - wrong} passed, {wrong} failed")
    return wrong


def free_port():
    """A port that is free, and 10,000 above it too: SeaweedFS puts its gRPC there."""
    while True:
        port = random.randrange(12_000, 30_000)
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
            return port


class Server:
    """A server on loopback in a folder of its own; leaving the `with` block ends it and removes the folder."""

    def __init__(self, folder=None):
        self.folder = Path(tempfile.mkdtemp(prefix="pinport-store-", dir=folder))
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.process = None
        self.log = None

    def command(self):
        raise NotImplementedError

    def ready(self):
        """Raises until the server is of use."""

    def process_environment(self):
        return {}

    def __enter__(self):
        self.log = (self.folder / "log").open("wb")
        self.process = subprocess.Popen(
            self.command(), stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT, cwd=self.folder,
            env={**os.environ, **self.process_environment()},
        )
        try:
            self.wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def wait(self):
        last = None
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                try:
                    urllib.request.urlopen(self.endpoint, timeout=2).close()
                except urllib.error.HTTPError:
                    pass
                return self.ready()
            except Exception as error:
                last = error
                time.sleep(0.2)
        log = (self.folder / "log").read_text(errors="replace")[-3000:]
        sys.exit(f"{type(self).__name__} did not become ready: {last}\n{log}")
