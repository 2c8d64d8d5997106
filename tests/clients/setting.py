"""What every client is told, and what is known of the sample data: the one place for both. Clients that are no Python
get it by `environment()`."""

import json
import urllib.request
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]

# Records read and failed in examples/contacts (as JSON) and examples/contacts.csv, by the oracle in examples/README.md.
CONTACTS = {"JSON": (143, 7), "CSV": (10, 2)}
# The endpoints that they name, each once.
MEMBERS = {"JSON": 129, "CSV": 7}

ROLE = "arn:aws:iam::123456789012:role/pinport-import"
# A role whose store takes connections and never answers.
SILENT_ROLE = "arn:aws:iam::123456789012:role/silent"
ADMIN = ("PINPORTADMIN", "admin-secret-0123456789")
READER = ("PINPORTREADER", "reader-secret-0123456789")
TENANT = ("PINPORTTENANT", "tenant-secret-0123456789")
SLOW_SECRET = "slow-secret-0123456789"
# The application that TENANT may use, which does not exist.
TENANT_APP = "00000000000000000000000000000abc"
# Requests that a slow key has at once.
BURST = 3


@dataclass
class Setting:
    """One client's view: its proxies, and where the data lies."""

    client: str
    open: str
    keyed: str
    direct: str
    bucket: str

    @property
    def slow(self):
        return f"PINPORTSLOW{self.client.upper()}", SLOW_SECRET

    def source(self, place, format):
        """The S3Url of the sample data."""
        name = {"JSON": "contacts", "CSV": "contacts.csv"}[format]
        return {"file": f"file://{TOP}/examples/{name}", "s3": f"s3://{self.bucket}/{name}"}[place]

    def target(self):
        """An S3UrlPrefix of the client's own."""
        return f"s3://{self.bucket}/found/{self.client}/"

    def members(self, app, segment):
        """The ids of a segment's members, by pinport's own API: Pinpoint has no operation for them."""
        with urllib.request.urlopen(f"{self.direct}/pinport/v1/apps/{app}/segments/{segment}/members") as answer:
            return [json.loads(line)["Id"] for line in answer]

    def environment(self):
        words = {"OPEN": self.open, "KEYED": self.keyed, "DIRECT": self.direct, "ROLE": ROLE, "SILENT_ROLE": SILENT_ROLE}
        words |= {"TENANT_APP": TENANT_APP, "BURST": str(BURST), "CLIENT": self.client}
        for name, (id, secret) in {"ADMIN": ADMIN, "READER": READER, "TENANT": TENANT, "SLOW": self.slow}.items():
            words |= {f"{name}_ID": id, f"{name}_SECRET": secret}
        for format, (read, failed) in CONTACTS.items():
            words |= {f"{format}_READ": str(read), f"{format}_FAILED": str(failed)}
            words |= {f"{format}_MEMBERS": str(MEMBERS[format])}
            words |= {f"{place.upper()}_{format}": self.source(place, format) for place in ("file", "s3")}
        return {f"CLIENTS_{name}": value for name, value in words.items()}

    def lose_answer(self, operation):
        """The next answer of this operation is lost on its way to the client."""
        urllib.request.urlopen(urllib.request.Request(f"{self.open}/break/{operation}", method="POST")).close()

    def cancel(self, job):
        """By pinport's own API: Pinpoint has no operation for it."""
        request = urllib.request.Request(f"{self.direct}/pinport/v1/jobs/{job}/cancel", method="POST")
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)


CLIENTS = ["boto3", "cli", "js", "rust"]


def serve_config(s3, silent, keys):
    """pinport.toml of a server that reads examples/ and the S3 at `s3`."""
    text = f"""
[jobs]
max_running = 4
look_seconds = 1
[sources]
endpoint = "{s3}"
access_key_id = "AKIAEXAMPLE"
secret_access_key = "not-a-real-secret"
local_root = "{TOP}/examples"
strict_roles = false
[roles."{SILENT_ROLE}"]
endpoint = "{silent}"
"""
    if not keys:
        return text
    entries = [(*ADMIN, ""), (*READER, "read_only = true"), (*TENANT, f'applications = ["{TENANT_APP}"]')]
    rate = f"rate = {{ per_second = 0.001, burst = {BURST} }}"
    entries += [(f"PINPORTSLOW{client.upper()}", SLOW_SECRET, rate) for client in CLIENTS]
    return text + "".join(f'[[keys]]\nid = "{id}"\nsecret = "{secret}"\n{more}\n' for id, secret, more in entries)
