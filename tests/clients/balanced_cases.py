"""boto3 against two servers that share a database, behind a balancer that knows TCP and no more."""

import json
import os
import signal
import socket
import subprocess
import threading
import urllib.request

import boto3_cases
from postgres import Cluster
from servers import Pinport, Process, clean_environment

ROWS = ["--rows", "8000", "--bad", "1%", "--format", "json", "--seed", "7"]


class Database(Process):
    """PostgreSQL with pinport's tables."""

    def __init__(self, binary):
        super().__init__("pg")
        self.binary = binary

    def __enter__(self):
        self.folder.chmod(0o700)
        self.cluster = Cluster(self.folder, {"listen_addresses": "", "fsync": "off"})
        self.url = self.cluster.url() + "?lease=3"
        environment = clean_environment(PINPORT_STORE_URL=self.url)
        subprocess.run([self.binary, "store", "init"], env=environment, check=True, stderr=subprocess.DEVNULL)
        return self

    def __exit__(self, *_):
        self.cluster.stop()
        super().__exit__()


class Balancer:
    """Gives each connection to the next server in turn that takes it."""

    def __init__(self, urls):
        self.targets = [("127.0.0.1", int(url.rsplit(":", 1)[1])) for url in urls]
        self.given = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            for _ in self.targets:
                target = self.targets[0]
                self.targets.append(self.targets.pop(0))
                try:
                    server = socket.create_connection(target)
                except OSError:
                    continue
                self.given.append(target[1])
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self.carry, args=(source, sink), daemon=True).start()
                break
            else:
                client.close()

    @staticmethod
    def carry(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()


def prepare(stack, binary, config, s3, bucket):
    """Starts it all; the case that is run against it."""
    rows = subprocess.run([binary, "sample", *ROWS], capture_output=True, check=True).stdout
    tally = json.loads(subprocess.run([binary, "sample", *ROWS, "--tally"], capture_output=True, check=True).stdout)
    s3.put_object(Bucket=bucket, Key="balanced.json", Body=rows)
    database = stack.enter_context(Database(binary))
    config = config.replace("[jobs]", f'[store]\nurl = "{database.url}"\n[jobs]\npiece_kib = 64\nrows_per_second = 1000')
    servers = [stack.enter_context(Pinport(binary, config)) for _ in range(2)]
    balancer = Balancer([server.url for server in servers])
    stack.callback(balancer.close)

    def the_server_that_works_is_killed(s):
        """Created on one server, polled on the other, and the one that works is killed: no client notices."""
        several = {"retries": {"total_max_attempts": 5}}
        c, other = (boto3_cases.client(s, balancer.url, **several) for _ in range(2))
        app = boto3_cases.create_app(c, "balanced")["Id"]
        job = boto3_cases.create_job(c, app, f"s3://{bucket}/balanced.json", DefineSegment=True, SegmentName="all")
        poll = lambda: other.get_import_job(ApplicationId=app, JobId=job["Id"])["ImportJobResponse"]
        while not poll().get("TotalProcessed"):
            pass
        assert len(set(balancer.given[:2])) == 2, f"both clients are at one server: {balancer.given}"
        with urllib.request.urlopen(f"{servers[0].url}/pinport/v1/jobs/{job['Id']}") as answer:
            name = json.load(answer)["job"]["server"]
        working, left = sorted(servers, key=lambda server: server.url.rsplit(":", 1)[1] != name.rsplit(":", 1)[1])
        os.kill(working.child.pid, signal.SIGKILL)
        working.child.wait()
        ended = boto3_cases.wait(other, app, job["Id"])
        found = {name: ended.get(name) for name in ("JobStatus", "TotalProcessed", "TotalFailures")}
        expected = {"JobStatus": "COMPLETED", "TotalProcessed": tally["read"], "TotalFailures": tally["failed"]}
        assert found == expected, f"{found} in place of {expected}"
        with urllib.request.urlopen(f"{left.url}/pinport/v1/apps/{app}/segments/all/members") as answer:
            members = [json.loads(line)["Id"] for line in answer]
        assert len(members) == len(set(members)) == tally["endpoints"], (len(members), tally)
        # And the client that made it goes on with the server that is left.
        assert c.get_import_job(ApplicationId=app, JobId=job["Id"])["ImportJobResponse"]["JobStatus"] == "COMPLETED"

    return [the_server_that_works_is_killed]
