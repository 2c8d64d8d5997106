"""A server of PostgreSQL's programs on this machine, in a folder of its own, for scripts that need one."""

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

HERTZ = os.sysconf("SC_CLK_TCK")


def programs():
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    path = shutil.which("initdb")
    return Path(path).parent if path else sys.exit("PostgreSQL is not installed: scripts/setup installs it")


class Cluster:
    """Runs until `stop`. `settings` are PostgreSQL's."""

    def __init__(self, folder, settings):
        self.folder, self.programs = folder, programs()
        self.user = None
        if os.getuid() == 0:
            names = {account.pw_name: account for account in pwd.getpwall()}
            self.user = names.get("postgres") or names["nobody"]
            os.chown(folder, self.user.pw_uid, self.user.pw_gid)
        self.run("initdb", "--no-sync", "--auth=trust", "--username=pinport", "--encoding=UTF8", "--locale=C", "-D", folder / "data")
        settings = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self.server = subprocess.Popen(
            [self.programs / "postgres", "-D", folder / "data", "-k", folder, *settings],
            preexec_fn=self.become, stdout=open(folder / "log", "w"), stderr=subprocess.STDOUT)
        while self.run("pg_isready", "-q", "-h", folder, check=False).returncode != 0:
            if self.server.poll() is not None:
                sys.exit((folder / "log").read_text())

    def become(self):
        if self.user:
            os.setgid(self.user.pw_gid)
            os.setuid(self.user.pw_uid)

    def run(self, program, *arguments, check=True):
        return subprocess.run([self.programs / program, *map(str, arguments)], preexec_fn=self.become, cwd=self.folder,
                              capture_output=True, text=True, check=check)

    def ask(self, sql):
        return self.run("psql", "-XAtq", "-U", "pinport", "-h", self.folder, "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-c", sql).stdout.strip()

    def url(self):
        return "postgres://pinport@" + str(self.folder).replace("/", "%2F") + "/postgres"

    def cpu(self):
        """Seconds of all processes, those that ended too."""
        ticks = 0
        for process in Path("/proc").glob("[0-9]*"):
            try:
                fields = (process / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(process.name) == self.server.pid:
                ticks += sum(map(int, fields[11:15]))
            elif int(fields[1]) == self.server.pid:
                ticks += sum(map(int, fields[11:13]))
        return ticks / HERTZ

    def stop(self):
        self.server.send_signal(2)
        self.server.wait()
