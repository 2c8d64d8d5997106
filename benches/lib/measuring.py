"""What the benchmark commands share: building pinport, making data, running a process and saying what it took."""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent

# Exit codes of an import that ran to its end: without failed records, with some.
COMPLETED, WITH_FAILURES = 0, 3


def note(text):
    print(text, file=sys.stderr, flush=True)


def add_place_arguments(parser):
    parser.add_argument("--pinport", type=Path, help="a built pinport (default: built with cargo)")
    parser.add_argument("--scratch", type=Path, help="folder for data and stores (default: the system's for temporary files)")


def add_common_arguments(parser):
    add_place_arguments(parser)
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the report to FILE")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every run to FILE")


def build_pinport():
    note("building pinport")
    # As scripts/test does: without --workspace cargo would build some dependencies again, with fewer features.
    subprocess.run(["cargo", "build", "--release", "--locked", "--workspace", "--quiet"], cwd=TOP, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR") or TOP / "target")
    return (TOP / target / "release" / "pinport").resolve()


def version_of(pinport, built):
    """The version, and the commit if pinport was built here from a checkout that has one."""
    version = subprocess.check_output([pinport, "--version"], text=True).strip()
    if not built:
        return version
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=TOP, capture_output=True, text=True)
    return f"{version} ({commit.stdout.strip()})" if commit.returncode == 0 else version


@contextmanager
def scratch_folder(name, parent):
    folder = Path(tempfile.mkdtemp(prefix=f"pinport-{name}-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_sample(pinport, path, **options):
    """Writes sample rows; writing also puts them into the page cache. Options are those of `pinport sample`."""
    command = [str(pinport), "sample"]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    with path.open("wb") as out:
        subprocess.run(command, stdout=out, check=True)
    return path


def tally_of(pinport, **options):
    """What an import of these sample rows must count."""
    command = [str(pinport), "sample", "--tally"]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    return json.loads(subprocess.check_output(command))


def run_child(command, cpus, scratch, codes=(COMPLETED,), environment=None):
    """Runs a process on so many CPUs; what it took, whole, and the JSON it printed."""
    allowed = sorted(os.sched_getaffinity(0))[:cpus]
    answer, errors = scratch / "answer", scratch / "errors"
    with answer.open("wb") as out, errors.open("wb") as err:
        begin = time.monotonic()
        child = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            preexec_fn=lambda: os.sched_setaffinity(0, allowed), env={**os.environ, **(environment or {})},
        )
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        written = written_by(child.pid)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.monotonic() - begin
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in codes:
        sys.exit(f"{command[0]} ended with {child.returncode}:\n{errors.read_text(errors='replace')}")
    return {
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "rss_bytes": usage.ru_maxrss * 1024,
        "written_bytes": written,
        "answer": json.loads(answer.read_text()),
    }


def written_by(pid):
    """Bytes that a process had the kernel write to a disk so far; 0 on tmpfs, and where the kernel does not tell."""
    try:
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("write_bytes")), 0)


def cpu_of(pid):
    """Seconds of CPU time that a process took so far."""
    return _cpu_in(_fields_of(Path(f"/proc/{pid}")))


class Compaction:
    """Watches what RocksDB's own threads take of a process: those that compact, and those that help them and end soon."""

    def __init__(self, pid):
        self.tasks, self.took, self.lock = Path(f"/proc/{pid}/task"), {}, threading.Lock()
        threading.Thread(target=self._watch, daemon=True).start()

    def seconds(self):
        with self.lock:
            with suppress(OSError):
                for task in self.tasks.iterdir():
                    self._look(task)
            return sum(self.took.values())

    def _watch(self):
        while self.tasks.exists():
            self.seconds()
            time.sleep(0.02)

    def _look(self, task):
        # Others end meanwhile.
        with suppress(OSError):
            if (task / "comm").read_text().startswith("rocksdb"):
                fields = _fields_of(task)
                self.took[task.name, fields[19]] = _cpu_in(fields)


def _fields_of(process):
    """The fields of a process or thread from its state on (proc(5), stat)."""
    return (process / "stat").read_text().rsplit(")", 1)[1].split()


def _cpu_in(fields):
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_of(pid):
    """The most memory that a process has held so far, in bytes."""
    return _memory_of(pid, "VmHWM")


def resident_of(pid):
    """The memory that a process holds now, in bytes."""
    return _memory_of(pid, "VmRSS")


def _memory_of(pid, name):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith(f"{name}:")).split()[1]) * 1024


def size_of(folder):
    return sum(entry.stat().st_blocks * 512 for entry in folder.rglob("*") if entry.is_file())


def median(results, figure, **wanted):
    """The median of a figure over the results that have these members; None if there is none."""
    values = [result[figure] for result in results if all(result[name] == value for name, value in wanted.items())]
    return statistics.median(values) if values else None


def machine():
    model = platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    return f"{model}, {os.cpu_count()} CPUs, {platform.system()} {platform.release()}"


def load():
    """How busy the machine is: wall times mean little where this is far above zero."""
    return f"load average {os.getloadavg()[0]:.1f} at the begin"


def publish(args, report, results):
    print(report)
    if args.markdown:
        args.markdown.parent.mkdir(parents=True, exist_ok=True)
        args.markdown.write_text(report, encoding="utf-8")
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
