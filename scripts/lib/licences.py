"""The licences of everything in the binary: a list of the crates, then the texts that they bring."""

import json
import subprocess
from pathlib import Path

NAMES = ("licen", "copying", "notice", "unlicense")


def linked(metadata):
    """The ids of the packages that the program is made of: no tests, no build scripts."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    found, todo = set(), [metadata["resolve"]["root"]]
    while todo:
        package = todo.pop()
        if package in found:
            continue
        found.add(package)
        for dependency in nodes[package]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                todo.append(dependency["pkg"])
    return found


def texts(folder):
    """The files of a crate that hold licences: its own, and those of C code a folder below."""
    for path in sorted([*folder.glob("*"), *folder.glob("*/*")]):
        name = path.name.lower()
        if path.is_file() and name.startswith(NAMES) and not name.endswith((".rs", ".sh", ".py", ".html")):
            yield path.relative_to(folder), path.read_text(errors="replace").strip()


def text(top, target):
    """One document."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target]
    metadata = json.loads(subprocess.check_output(command, cwd=top))
    wanted = linked(metadata)
    packages = sorted((package for package in metadata["packages"] if package["id"] in wanted and package["source"]),
                      key=lambda package: (package["name"], package["version"]))
    lines = ["pinport is licensed under Apache-2.0; its text is in LICENSE. It contains the packages below.", ""]
    # Many crates bring the same text: it is printed once.
    users = {}
    for package in packages:
        name = f"{package['name']} {package['version']}"
        lines.append(f"{name:<45} {package['license'] or 'see below'}")
        for path, words in texts(Path(package["manifest_path"]).parent):
            users.setdefault(words, []).append(f"{name}: {path}")
    for words, names in users.items():
        lines += ["", "=" * 100, *names, "=" * 100, "", words]
    return "\n".join(lines) + "\n"
