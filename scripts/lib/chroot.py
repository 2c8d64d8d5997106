"""A bare Debian to install into: made once with debootstrap, kept in ~/.cache/pinport, copied for each use."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import environment
from trial import Wrong

SUITE = "bookworm"


def mirrors(archive="debian"):
    """Where the apt of this machine has Debian from, or another archive of it; empty on other distributions."""
    done = subprocess.run(["apt-get", "indextargets", "--format", "$(SITE)"], capture_output=True, text=True, check=True)
    return [site for site in done.stdout.split() if site.rstrip("/").endswith(f"/{archive}")]


def mirror(archive="debian"):
    """The first of them, which there must be."""
    found = mirrors(archive)
    if not found:
        sys.exit(f"the apt of this machine names no archive that ends in /{archive}: this runs on Debian")
    return found[0]


def bare_debian(variant="minbase"):
    """The folder of a Debian with nothing in it but what every Debian has."""
    folder = environment.CACHE / "debian" / f"{SUITE}-{variant}"
    if not (folder / "made").exists():
        if os.geteuid() != 0 or not shutil.which("debootstrap"):
            sys.exit("this needs root, and debootstrap: apt-get install debootstrap")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        print(f"making a bare Debian in {folder}", file=sys.stderr, flush=True)
        # On other distributions debootstrap knows where Debian is.
        command = ["debootstrap", f"--variant={variant}", SUITE, folder, *mirrors()[:1]]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (folder / "made").touch()
    return folder


class Root:
    """A copy of a root file system, gone when the `with` block ends."""

    def __init__(self, source=None, folder=None):
        self.source = source
        self.place = folder

    def __enter__(self):
        self.path = Path(tempfile.mkdtemp(prefix="pinport-root-", dir=self.place))
        self.path.chmod(0o755)
        if self.source:
            subprocess.run(["cp", "--archive", f"{self.source}/.", self.path], check=True)
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)

    def command(self, *command, user=None):
        """A command line that runs in the root, with processes and mounts of its own."""
        # By their paths: the environment is that of the root.
        unshare, chroot = (shutil.which(name, path="/usr/bin:/usr/sbin:/bin:/sbin") for name in ("unshare", "chroot"))
        inside = [chroot, *([f"--userspec={user}"] if user else []), str(self.path), *map(str, command)]
        (self.path / "proc").mkdir(exist_ok=True)
        return [unshare, "--mount", "--pid", "--fork", "--kill-child", f"--mount-proc={self.path}/proc", *inside]

    def run(self, *command, user=None, ok=True, **environ):
        """What the command printed."""
        clean = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", **environ}
        done = subprocess.run(self.command(*command, user=user), env=clean, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
        if ok and done.returncode:
            raise Wrong(f"{' '.join(map(str, command))} ended with {done.returncode}: {(done.stdout + done.stderr).strip()[-1500:]}")
        return done.stdout + done.stderr

    def stat(self, path):
        """Owner, group and mode, by names that the root knows."""
        return self.run("stat", "--format=%U:%G %a", path).strip()
