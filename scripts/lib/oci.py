"""Writes an OCI image without a daemon: one layer with pinport, glibc, and the list of certificate authorities.

glibc and the authorities are files of Debian's packages, fetched with apt-get and unpacked; nothing of them is run.
"""

import gzip
import hashlib
import io
import json
import os
import platform
import subprocess
import tarfile
import tempfile
from pathlib import Path

PACKAGES = ("base-files", "ca-certificates", "libc6", "netbase", "tzdata")
# Of a binary that was not built with zig, which links its C++ library into it.
CXX = ("libgcc-s1", "libstdc++6")
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
USER = 65532
# Of the packages: the loader and the libraries of glibc, names of services and time zones, documents of licences.
KEPT = ("lib", "lib64", "usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib/os-release", "etc/os-release", "etc/debian_version",
        "etc/protocols", "etc/services", "usr/share/zoneinfo", "usr/share/doc", "usr/share/common-licenses")
LEFT_OUT = ("gconv", "/audit/", "zoneinfo/right", "zoneinfo/posix", "changelog")


class Layer:
    """A tar of entries by their path, in order, all of one time."""

    def __init__(self, time):
        self.time = time
        self.entries = {}

    def add(self, path, content=None, mode=0o755, owner=0, link=None):
        entry = tarfile.TarInfo(path)
        entry.mode, entry.mtime, entry.uid, entry.gid = mode, self.time, owner, owner
        if link:
            entry.type, entry.linkname = tarfile.SYMTYPE, link
        elif content is None:
            entry.type = tarfile.DIRTYPE
        else:
            entry.size = len(content)
        parent = os.path.dirname(path)
        if parent and parent not in self.entries:
            self.add(parent)
        self.entries[path] = (entry, content)

    def add_tree(self, root, kept=("",)):
        for path in sorted(root.rglob("*")):
            name = str(path.relative_to(root))
            if not any(name == part or name.startswith(f"{part}/") for part in kept) or any(part in f"{name}/" for part in LEFT_OUT):
                continue
            if path.is_symlink():
                self.add(name, link=os.readlink(path))
            elif path.is_file():
                self.add(name, path.read_bytes(), 0o755 if os.access(path, os.X_OK) else 0o644)

    def bytes(self):
        held = io.BytesIO()
        with tarfile.open(fileobj=held, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for _, (entry, content) in sorted(self.entries.items()):
                archive.addfile(entry, io.BytesIO(content) if content is not None else None)
        return held.getvalue()


def debian(folder, packages):
    """Unpacks the packages below `folder`; their versions by name."""
    # apt-get would rather be a user of its own, who cannot write there.
    command = ["apt-get", "download", "--quiet", "--quiet", "--option", "APT::Sandbox::User=root", *packages]
    subprocess.run(command, cwd=folder, check=True)
    versions = {}
    for package in sorted(folder.glob("*.deb")):
        subprocess.run(["dpkg-deb", "--extract", package, folder / "root"], check=True)
        name, version, _ = package.name.split("_")
        versions[name] = version.replace("%3a", ":")
    return folder / "root", versions


def layer(stage, time):
    made = Layer(time)
    binary = (stage / "pinport").read_bytes()
    with tempfile.TemporaryDirectory(prefix="pinport-image-") as folder:
        root, versions = debian(Path(folder), PACKAGES + (CXX if b"libstdc++.so.6" in binary else ()))
        made.add_tree(root, KEPT)
        # Debian makes this file when the package is installed.
        authorities = sorted((root / "usr/share/ca-certificates").rglob("*.crt"))
        made.add("etc/ssl/certs/ca-certificates.crt", b"".join(path.read_bytes() for path in authorities), 0o644)
    made.add("usr/bin/pinport", binary)
    made.add("usr/share/doc/pinport/LICENSE", (stage / "LICENSE").read_bytes(), 0o644)
    made.add("usr/share/doc/pinport/LICENSES", (stage / "LICENSES").read_bytes(), 0o644)
    made.add("etc/passwd", f"root:x:0:0:root:/root:/sbin/nologin\npinport:x:{USER}:{USER}:pinport:/var/lib/pinport:/sbin/nologin\n".encode(), 0o644)
    made.add("etc/group", f"root:x:0:\npinport:x:{USER}:\n".encode(), 0o644)
    made.add("etc/nsswitch.conf", b"hosts: files dns\n", 0o644)
    made.add("etc/pinport", None, 0o700, USER)
    made.add("var/lib/pinport", None, 0o700, USER)
    made.add("tmp", None, 0o1777)
    return made.bytes(), versions


def write(out, stage, version, time):
    """Writes the image as a tar of an OCI layout, as `podman load`, `docker load` and `skopeo copy oci-archive:` read it."""
    name = f"localhost/pinport:{version}"
    content, versions = layer(stage, time)
    created = subprocess.check_output(["date", "--utc", f"--date=@{time}", "+%Y-%m-%dT%H:%M:%SZ"], text=True).strip()
    blobs = Layer(time)

    def blob(content, media_type, **more):
        if not isinstance(content, bytes):
            content = json.dumps(content, sort_keys=True).encode()
        digest = hashlib.sha256(content).hexdigest()
        blobs.add(f"blobs/sha256/{digest}", content, 0o644)
        return {"mediaType": f"application/vnd.oci.image.{media_type}", "digest": f"sha256:{digest}", "size": len(content), **more}

    def path(blob):
        return "blobs/" + blob["digest"].replace(":", "/")

    labels = {
        "org.opencontainers.image.title": "pinport",
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.created": created,
        **{f"org.debian.package.{name}": found for name, found in versions.items()},
    }
    config = blob({
        "architecture": ARCHITECTURE,
        "os": "linux",
        "created": created,
        "config": {
            "User": f"{USER}:{USER}",
            "Entrypoint": ["/usr/bin/pinport"],
            "Cmd": ["serve"],
            "Env": ["PATH=/usr/bin", "PINPORT_DATA=/var/lib/pinport"],
            "WorkingDir": "/var/lib/pinport",
            "Volumes": {"/var/lib/pinport": {}},
            "ExposedPorts": {"7465/tcp": {}},
            "StopSignal": "SIGTERM",
            "Labels": labels,
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(content).hexdigest()}"]},
        "history": [{"created": created, "created_by": "scripts/package"}],
    }, "config.v1+json")
    layers = [blob(gzip.compress(content, 9, mtime=0), "layer.v1.tar+gzip")]
    manifest = blob({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": layers, "annotations": labels,
    }, "manifest.v1+json", platform={"architecture": ARCHITECTURE, "os": "linux"}, annotations={
        "org.opencontainers.image.ref.name": version,
        # What `podman load` calls it.
        "io.containerd.image.name": name,
    })
    # What `docker load` reads.
    legacy = [{"Config": path(config), "RepoTags": [name], "Layers": [path(layer) for layer in layers]}]
    blobs.add("manifest.json", json.dumps(legacy, sort_keys=True).encode(), 0o644)
    blobs.add("index.json", json.dumps({"schemaVersion": 2, "manifests": [manifest]}, sort_keys=True).encode(), 0o644)
    blobs.add("oci-layout", b'{"imageLayoutVersion":"1.0.0"}', 0o644)
    out.write_bytes(blobs.bytes())
