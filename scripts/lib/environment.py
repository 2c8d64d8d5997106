"""Virtual environments for the scripts that need packages from PyPI: made once, kept in ~/.cache/pinport."""

import os
import subprocess
import sys
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pinport"


def target_folder():
    """Where cargo builds what belongs to this repository."""
    return Path(os.environ.get("CARGO_TARGET_DIR") or Path(__file__).resolve().parents[2] / "target").resolve()


def python_with(name, *packages):
    """The Python of the environment `name`, which has `packages` (requirements as pip takes them)."""
    folder = CACHE / name
    python = folder / "bin" / "python"
    installed = folder / "installed"
    wanted = "\n".join(packages)
    if python.exists() and installed.exists() and installed.read_text() == wanted:
        return python
    print(f"installing {', '.join(packages)} into {folder}", file=sys.stderr, flush=True)
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", folder])
    if made.returncode != 0:
        sys.exit("Python's venv module is missing. On Debian: apt-get install python3-venv")
    subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    installed.write_text(wanted)
    return python


def rerun_with(name, *packages):
    """Runs the calling script again in the environment `name`, unless it is there already."""
    if Path(sys.prefix).resolve() != (CACHE / name).resolve():
        python = python_with(name, *packages)
        os.execv(python, [str(python), *sys.argv])
