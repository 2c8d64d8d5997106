"""SeaweedFS on loopback, with an S3 gateway that asks for keys, in a temporary folder."""

import json
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ACCESS_KEY = "pinport-example-key"
SECRET_KEY = "pinport-example-secret"


class SeaweedFs:
    """A running server; leaving the `with` block ends it and removes its folder."""

    def __init__(self, folder=None):
        self.folder = Path(tempfile.mkdtemp(prefix="pinport-s3-", dir=folder))
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.process = None

    def __enter__(self):
        keys = self.folder / "keys.json"
        credentials = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
        actions = ["Admin", "Read", "List", "Tagging", "Write"]
        keys.write_text(json.dumps({"identities": [{"name": "pinport", "credentials": credentials, "actions": actions}]}))
        data = self.folder / "data"
        data.mkdir()
        ports = {name: free_port() for name in ["master", "volume", "filer"]}
        self.log = (self.folder / "log").open("wb")
        self.process = subprocess.Popen(
            [
                Path(sys.prefix) / "bin" / "weed", "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
                *(f"-{name}.port={port}" for name, port in ports.items()),
                "-master.volumeSizeLimitMB=1024", "-volume.max=50",
                "-s3", f"-s3.port={self.port}", f"-s3.config={keys}", "-s3.port.iceberg=0",
            ],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT, cwd=self.folder,
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

    def environment(self):
        """What a client needs to find the server."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
        }

    def client(self):
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3", endpoint_url=self.endpoint, aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1", config=Config(max_pool_connections=32, s3={"addressing_style": "path"}),
        )

    def wait(self):
        """Until a bucket can be made, an object written and read: the gateway answers before the volumes do."""
        client = None
        last = None
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                urllib.request.urlopen(self.endpoint, timeout=2).close()
            except urllib.error.HTTPError:
                pass
            except OSError as error:
                last = error
                time.sleep(0.2)
                continue
            try:
                client = client or self.client()
                client.create_bucket(Bucket="ready")
                client.put_object(Bucket="ready", Key="ready", Body=b"ready")
                assert client.get_object(Bucket="ready", Key="ready")["Body"].read() == b"ready"
                client.delete_object(Bucket="ready", Key="ready")
                client.delete_bucket(Bucket="ready")
                return
            except Exception as error:
                last = error
                time.sleep(0.2)
        log = (self.folder / "log").read_text(errors="replace")[-3000:]
        raise SystemExit(f"SeaweedFS did not become ready: {last}\n{log}")


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
