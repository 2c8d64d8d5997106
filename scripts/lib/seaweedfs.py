"""SeaweedFS on loopback, with an S3 gateway that asks for keys, in a temporary folder."""

import json
import subprocess
import sys
from pathlib import Path

from trial import Server, free_port

ACCESS_KEY = "pinport-example-key"
SECRET_KEY = "pinport-example-secret"


class SeaweedFs(Server):
    """A running server; leaving the `with` block ends it and removes its folder."""

    def command(self):
        keys = self.folder / "keys.json"
        credentials = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
        actions = ["Admin", "Read", "List", "Tagging", "Write"]
        keys.write_text(json.dumps({"identities": [{"name": "pinport", "credentials": credentials, "actions": actions}]}))
        data = self.folder / "data"
        data.mkdir()
        ports = {name: free_port() for name in ["master", "volume", "filer"]}
        weed = Path(sys.prefix) / "bin" / "weed"
        # Newer versions listen on ports of their own for more protocols, one server on a machine.
        known = subprocess.run([weed, "server", "-h"], capture_output=True, text=True)
        others = [f"-s3.port.{name}=0" for name in ("iceberg", "lance") if f"s3.port.{name}" in known.stderr + known.stdout]
        return [
            weed, "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            *(f"-{name}.port={port}" for name, port in ports.items()),
            "-master.volumeSizeLimitMB=1024", "-volume.max=50",
            "-s3", f"-s3.port={self.port}", f"-s3.config={keys}", *others,
        ]

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

    def ready(self):
        """Once a bucket can be made, an object written and read: the gateway answers before the volumes do."""
        client = self.client()
        client.create_bucket(Bucket="ready")
        client.put_object(Bucket="ready", Key="ready", Body=b"ready")
        assert client.get_object(Bucket="ready", Key="ready")["Body"].read() == b"ready"
        client.delete_object(Bucket="ready", Key="ready")
        client.delete_bucket(Bucket="ready")
