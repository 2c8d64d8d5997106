"""NDJSON into PostgreSQL, a server of its own for the time of the import. Two layouts:

doc    the id and the record as jsonb; replaced as a whole
merge  a column for each member; nested ones merged by name (jsonb ||), users in a table of their own with an
       index from the user to the endpoints, members keyed

A connection for each thread: COPY of its share of the lines into an unlogged table, then INSERT ... ON CONFLICT.
The server is tuned for it (see SETTINGS) and stays durable: fsync, full pages and synchronous commits are on. It
is started before the clock runs and stopped after it; its processes count, the client's too.

Settling is VACUUM (ANALYZE), which leaves the files as large as they are: VACUUM FULL locks each table while it writes
it again, and is not what one does. What is read out is one COPY, into a file that the server writes.
"""

import glob
import json
import os
import pwd
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from shape import FLAT, MEMBERS, found, main

SETTINGS = {
    "listen_addresses": "''",
    "shared_buffers": "4GB",
    "work_mem": "256MB",
    "maintenance_work_mem": "1GB",
    "wal_level": "minimal",
    "max_wal_senders": 0,
    "max_wal_size": "16GB",
    "checkpoint_timeout": "1h",
    "wal_buffers": "64MB",
    "jit": "off",
    "autovacuum": "off",
}
NESTED = ["Attributes", "Demographic", "Location", "Metrics"]
# Quote and delimiter are bytes that JSON never holds, so a line is one column as it is.
COPY = "WITH (FORMAT csv, QUOTE e'\\x01', DELIMITER e'\\x02')"


def programs():
    """The folder of the newest PostgreSQL's programs; None if it is not installed."""
    found = shutil.which("initdb")
    folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: float(path.split("/")[4]))
    return Path(found).resolve().parent if found else Path(folders[-1]) if folders else None


class Server:
    """A server in a folder; PostgreSQL refuses to run as root, so root runs it as somebody else."""

    def __init__(self, folder):
        self.data, self.bin = os.path.join(folder, "data"), programs()
        self.sockets = tempfile.mkdtemp(prefix="pinport-postgres-")
        self.user = None
        if os.getuid() == 0:
            self.user = next(user.pw_name for user in sorted(pwd.getpwall(), key=lambda user: user.pw_name != "postgres")
                             if user.pw_name in ("postgres", "nobody"))
            for path in [folder, self.sockets]:
                shutil.chown(path, self.user)
        if not os.path.exists(self.data):
            self.call("initdb", "-D", self.data, "-E", "UTF8", "--locale=C", "-A", "trust", "-U", "bench")
            with open(os.path.join(self.data, "postgresql.conf"), "a") as configuration:
                configuration.writelines(f"{name} = {value}\n" for name, value in SETTINGS.items())
        self.call("pg_ctl", "-D", self.data, "-w", "-l", os.path.join(self.sockets, "log"),
                  "-o", f"-k {self.sockets}", "start")
        self.pid = int(open(os.path.join(self.data, "postmaster.pid")).readline())

    def make_writable(self, path):
        """An empty file that the server may write to."""
        open(path, "w").close()
        if self.user:
            shutil.chown(path, self.user)

    def call(self, program, *arguments):
        subprocess.run([self.bin / program, *arguments], check=True, stdout=subprocess.DEVNULL, user=self.user, cwd="/")

    def client(self, *statements):
        command = [self.bin / "psql", "-h", self.sockets, "-U", "bench", "-d", "postgres", "-qtA", "-v", "ON_ERROR_STOP=1"]
        for statement in statements:
            command += ["-c", statement]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def run(self, *statements):
        return self.wait(self.client(*statements))

    def wait(self, client):
        answer, _ = client.communicate()
        if client.returncode != 0:
            raise SystemExit("psql failed")
        return answer.strip()

    def processes(self):
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                fields = Path(f"/proc/{name}/stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(name) == self.pid or int(fields[1]) == self.pid:
                yield int(name), fields

    def ticks(self):
        """CPU time of the server's processes; those that ended are in their parent's account."""
        return sum(sum(map(int, fields[11:15] if pid == self.pid else fields[11:13])) for pid, fields in self.processes())

    def memory(self):
        """What the processes hold for themselves, and the shared buffers that are in use once."""
        own = shared = 0
        for pid, _ in self.processes():
            try:
                status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            except OSError:
                continue
            kib = {name: int(status.get(name, "0 kB").split()[0]) for name in ["RssAnon", "RssShmem"]}
            own, shared = own + kib["RssAnon"], max(shared, kib["RssShmem"])
        return (own + shared) * 1024

    def stop(self):
        self.call("pg_ctl", "-D", self.data, "-w", "-m", "fast", "stop")
        shutil.rmtree(self.sockets, ignore_errors=True)


def import_file(layout, path, folder, threads):
    def work(server):
        schema(server, layout)
        shares = [server.client(*share(layout, path, number, threads)) for number in range(1, threads + 1)]
        for client in shares:
            server.wait(client)
        if layout == "merge":
            server.run(users(threads))
        server.run(*[f"DROP TABLE staging_{number}" for number in range(1, threads + 1)])

    return measured(folder, work)


def settle(layout, folder, _threads):
    return measured(folder, lambda server: server.run(f"VACUUM (ANALYZE) {tables(layout)}"))


def read_out(layout, path, folder, _threads):
    query = f"SELECT {record(layout)} WHERE e.{MEMBERS} ORDER BY e.id"

    def ready(server):
        # Autovacuum, which is off, would have done so soon after an import; without it the plan is a poor one.
        server.run(f"ANALYZE {tables(layout)}")
        server.make_writable(path)

    return measured(folder, lambda server: server.run(f"COPY ({query}) TO '{path}' {COPY}"), ready)


def measured(folder, work, ready=None):
    """What `work` took on a server, after what makes it `ready`."""
    server = Server(folder)
    try:
        if ready:
            ready(server)
        watch = Watch(server)
        begin, own, ticks = time.monotonic(), sum(os.times()[:4]), server.ticks()
        work(server)
        seconds = time.monotonic() - begin
        server_cpu = (server.ticks() - ticks) / os.sysconf("SC_CLK_TCK")
        size = server.run("SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' "
                          "AND relnamespace = 'public'::regnamespace")
        return {
            "seconds": seconds, "cpu_seconds": server_cpu + sum(os.times()[:4]) - own,
            "rss_bytes": watch.peak(), "disk_bytes": int(size),
        }
    finally:
        server.stop()


class Watch:
    """Samples the server's memory ten times a second."""

    def __init__(self, server):
        self.most, self.done = 0, threading.Event()
        self.thread = threading.Thread(target=self.sample, args=[server], daemon=True)
        self.thread.start()

    def sample(self, server):
        while not self.done.wait(0.1):
            self.most = max(self.most, server.memory())

    def peak(self):
        self.done.set()
        self.thread.join()
        return self.most


def schema(server, layout):
    if layout == "doc":
        server.run("CREATE TABLE IF NOT EXISTS endpoints (id text PRIMARY KEY, doc jsonb)",
                   "CREATE TABLE IF NOT EXISTS members (segment int, id text)")
        return
    columns = ", ".join([f"{name} text" for name in FLAT[1:]] + [f"{name} jsonb" for name in NESTED])
    server.run(f"CREATE TABLE IF NOT EXISTS endpoints (id text PRIMARY KEY, {columns}, user_id text)",
               "CREATE INDEX IF NOT EXISTS endpoints_of_user ON endpoints (user_id)",
               "CREATE TABLE IF NOT EXISTS users (id text PRIMARY KEY, attributes jsonb)",
               "CREATE TABLE IF NOT EXISTS members (segment int, id text, PRIMARY KEY (segment, id))")


def share(layout, path, number, threads):
    """The statements of one connection."""
    staging = f"staging_{number}"
    yield f"CREATE UNLOGGED TABLE {staging} (doc jsonb)"
    yield f"COPY {staging} FROM PROGRAM 'split -n l/{number}/{threads} {path}' {COPY}"
    yield "BEGIN"
    if layout == "doc":
        yield (f"INSERT INTO endpoints SELECT doc ->> 'Id', doc FROM {staging} "
               "ON CONFLICT (id) DO UPDATE SET doc = excluded.doc")
        yield f"INSERT INTO members SELECT 1, doc ->> 'Id' FROM {staging}"
    else:
        values = [f"doc ->> '{name}'" for name in FLAT] + [f"doc -> '{name}'" for name in NESTED]
        updates = [f"{name} = coalesce(excluded.{name}, e.{name})" for name in [*FLAT[1:], "user_id"]]
        updates += [f"{name} = coalesce(e.{name} || excluded.{name}, excluded.{name}, e.{name})" for name in NESTED]
        yield (f"INSERT INTO endpoints AS e SELECT {', '.join(values)}, doc -> 'User' ->> 'UserId' FROM {staging} "
               f"ON CONFLICT (id) DO UPDATE SET {', '.join(updates)}")
        yield f"INSERT INTO members SELECT 1, doc ->> 'Id' FROM {staging} ON CONFLICT DO NOTHING"
    yield "COMMIT"


def users(threads):
    """Users are shared by endpoints of both halves: one connection writes them, or the two would wait for each other."""
    stagings = " UNION ALL ".join(f"SELECT doc -> 'User' AS u FROM staging_{number}" for number in range(1, threads + 1))
    return ("INSERT INTO users AS t SELECT DISTINCT ON (u ->> 'UserId') u ->> 'UserId', u -> 'UserAttributes' "
            f"FROM ({stagings}) s ON CONFLICT (id) DO UPDATE SET attributes = coalesce(t.attributes || excluded.attributes, t.attributes)")


def tables(layout):
    return "endpoints, members" + (", users" if layout == "merge" else "")


def record(layout):
    """An endpoint as one JSON document, and where it is from."""
    if layout == "doc":
        return "doc FROM endpoints e"
    columns = ", ".join(f'e.{name} AS "{name}"' for name in FLAT + NESTED)
    user = "json_build_object('UserId', u.id, 'UserAttributes', u.attributes) AS \"User\""
    return f"(SELECT row_to_json(r) FROM (SELECT {columns}, {user}) r) FROM endpoints e LEFT JOIN users u ON u.id = e.user_id"


def check(layout, folder, endpoint):
    server = Server(folder)
    try:
        date = "doc ->> 'EffectiveDate'" if layout == "doc" else "EffectiveDate"
        value = (lambda name: f"doc -> '{name}'") if layout == "doc" else (lambda name: name)
        users_too = "(SELECT count(*) FROM users)" if layout == "merge" else "null"
        answer = server.run(f"SELECT json_build_array((SELECT count(*) FROM endpoints), (SELECT count(DISTINCT id) FROM members), "
                            f"(SELECT min({date}) FROM endpoints), {value('Attributes')} -> 'plan' ->> 0, "
                            f"{value('Metrics')} -> 'visits', {users_too}) FROM endpoints WHERE id = '{endpoint}'")
        return found(*json.loads(answer))
    finally:
        server.stop()


if __name__ == "__main__":
    main(import_file, settle, read_out, check)
