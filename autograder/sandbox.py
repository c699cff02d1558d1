"""Running a stranger's code: in a folder of its own, as another user, with limits, and with no way back to the grader.

`Sandbox.missing` lists what the system can't offer of this: nothing, if run as root on Linux 5.13 or newer, on x86_64 or
aarch64, with Python where all users can read it, and with psutil.
"""

import os
import random
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import confinement

try:
    import resource  # which Windows lacks
except ImportError:
    resource = None
try:
    import psutil
except ImportError:
    psutil = None

USERS = range(20000, 60000)  # user IDs, nearly all of them unassigned
MEMORY = 600 * 10**6  # resident bytes of all its processes together; limits on address space would stop PyTorch
PROCESSES = 64  # and threads
FILE_SIZE = 100 * 10**6
READ = 64 * 10**6  # bytes of a fetched file, at most
DISK = 500 * 10**6  # bytes in all
LOOK_EVERY = 0.1  # seconds
SAID = 2000  # characters kept of what it prints


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    problem: str | None  # why its results can't be relied on
    said: str  # the end of what it printed
    files: dict[str, bytes]  # of the wanted ones, those that could be read


class Sandbox:
    """Runs commands until `deadline` (of time.monotonic), each in an empty folder that is removed afterwards."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.user: int | None = None
        if sys.platform == "linux":
            confinement.adopt_orphans()  # so that what a command leaves behind is found and ended
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            self.user = unused_user()
            if self.run([sys.executable, "-c", "import json"]).problem:
                self.user = None  # Python is where only root can read it

    @property
    def missing(self) -> list[str]:
        """What this system does not offer."""
        landlock, filtered = confinement.landlock_version(), confinement.has_filter()
        offered = {
            "a user of its own (run as root, with Python where all may read it)": self.user is not None,
            "hiding your files from it (Landlock: Linux 5.13 or newer)": landlock > 0,
            "keeping it from the network (Linux on x86_64 or aarch64)": filtered,
            "keeping it from your other processes (Linux 6.12 or newer)": landlock >= confinement.KNOWS_SIGNALS or self.user is not None,
            "limits on its memory and processes, and an end to what it leaves running (pip install psutil)": psutil is not None,
            "limits on its files": resource is not None,
        }
        return [what for what, there in offered.items() if not there]

    @property
    def keeps_secrets(self) -> bool:
        """Whether what it runs can get nobody else to read files for it that it can't read itself."""
        return self.user is not None or (confinement.landlock_version() >= confinement.KNOWS_SIGNALS and confinement.has_filter())

    def run(
        self, command: Sequence[str], files: Mapping[str, Path | bytes] | None = None, wanted: Sequence[str] = (), seconds: float = 60
    ) -> Ended:
        """Run a command on copies of files and folders, placed under the given names, and fetch the files wanted from it."""
        seconds = min(seconds, self.deadline - time.monotonic())
        if seconds <= 0:
            return Ended("there was no time left for it", "", {})
        outer = Path(tempfile.mkdtemp(prefix="graded-"))
        outer.chmod(0o711)
        folder = outer / "work"  # the command's own; the folder around it is not, lest the command put a link in its place
        folder.mkdir(mode=0o700)
        try:
            for file, source in (files or {}).items():
                place(source, folder / file)
            if self.user is not None:
                for path in (folder, *folder.rglob("*")):
                    os.chown(path, self.user, self.user)
            with tempfile.TemporaryFile() as log:
                problem = self.watched(command, folder, log, seconds)
                log.seek(max(0, log.seek(0, os.SEEK_END) - SAID))
                said = log.read(SAID).decode("utf-8", errors="replace").strip()
            found = {file: content for file in wanted if (content := read_plain(folder / file)) is not None}
            return Ended(problem, said, found)
        finally:
            remove(outer)

    def watched(self, command: Sequence[str], folder: Path, log: Any, seconds: float) -> str | None:
        """Run a command until it ends or does what it may not. Returns why its results can't be relied on, if so."""
        streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": subprocess.STDOUT}
        powers = self.restrictions(folder, seconds)
        try:
            process = subprocess.Popen(command, cwd=folder, env=environment(folder), start_new_session=True, **streams, **powers)
        except (OSError, subprocess.SubprocessError) as error:
            return f"it can't be started: {error}"
        try:
            with suppress(OSError):
                Path(f"/proc/{process.pid}/oom_score_adj").write_text("1000", encoding="ascii")  # if memory runs out, it is killed first
            problem = watch(process, folder, log, seconds)
        finally:
            self.end_all(process)
        if problem is None and process.returncode != 0:
            problem = f"it ended with exit code {process.returncode}"
        return problem

    def restrictions(self, folder: Path, seconds: float) -> dict[str, Any]:
        """Arguments that make subprocess start a command with few rights."""
        if resource is None:
            return {}
        limits = {resource.RLIMIT_FSIZE: FILE_SIZE, resource.RLIMIT_CORE: 0, resource.RLIMIT_CPU: int(4 * seconds) + 1}
        as_user: dict[str, Any] = {}
        if self.user is not None:
            limits[resource.RLIMIT_NPROC] = PROCESSES  # counted over all that the user runs
            as_user = {"user": self.user, "group": self.user, "extra_groups": []}
        confine: Callable[[], None] | None = None
        if sys.platform == "linux":
            confine = confinement.prepare(readable_paths(), folder, shares_user=self.user is None)

        def before_start() -> None:
            for kind, limit in limits.items():
                resource.setrlimit(kind, (limit, limit))
            if confine is not None:
                confine()

        return as_user | {"preexec_fn": before_start, "umask": 0o077}

    def end_all(self, process: subprocess.Popen) -> None:
        """End a command and everything it has started, whatever that has done to escape."""
        with suppress(OSError, AttributeError):
            os.killpg(process.pid, 9)  # all at once, except those that left the group
        if self.user is not None:
            kill_all = [sys.executable, "-c", "import os; os.kill(-1, 9)"]
            with suppress(subprocess.TimeoutExpired):  # the processes it is meant to kill can stop it first
                subprocess.run(kill_all, user=self.user, group=self.user, extra_groups=[], check=False, capture_output=True, timeout=5)
        for _ in range(100):
            left = descendants()
            if not left:
                break
            for one in left:
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            psutil.wait_procs(left, timeout=0.1)
        process.kill()
        process.wait()


def watch(process: subprocess.Popen, folder: Path, log: Any, seconds: float) -> str | None:
    """Wait until it ends. Returns what it did that it may not, or None."""
    ends, free = time.monotonic() + seconds, shutil.disk_usage(folder).free
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_EVERY)
            return None
        if time.monotonic() > ends:
            return f"it took longer than {seconds:.0f} seconds"
        running = descendants()
        taken = free - shutil.disk_usage(folder).free  # quick to find out, but others write, too
        if taken > DISK and disk_used(folder) + disk_held(running, log) > DISK:
            return f"it wrote more than {DISK // 10**6} MB"
        if len(running) > PROCESSES:
            return f"it started more than {PROCESSES} processes"
        if sum(map(resident, running)) > MEMORY:
            return f"it took more than {MEMORY // 10**6} MB of memory"


def unused_user() -> int:
    """A user ID under which no process runs, so that the sandbox ends only its own processes."""
    uids = [process.info["uids"] for process in psutil.process_iter(["uids"])] if psutil is not None else []
    running = {some.real for some in uids if some is not None}
    return random.SystemRandom().choice([user for user in USERS if user not in running])  # another grader may have the same seed


def descendants() -> list[Any]:
    """The processes below this one."""
    return psutil.Process().children(recursive=True) if psutil is not None else []


def resident(process: Any) -> int:
    """The resident memory of a process, in bytes; 0 once it has ended."""
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0


def disk_used(folder: Path) -> int:
    """The bytes that a folder and everything in it take up."""
    if os.name != "posix":
        return sum(path.lstat().st_size for path in folder.rglob("*"))
    try:  # with a program that can follow paths of any length
        kilobytes = subprocess.run(["du", "-sk", folder], capture_output=True, text=True, check=False, timeout=10).stdout.split()
    except subprocess.TimeoutExpired:
        return sys.maxsize
    return 1024 * int(kilobytes[0]) if kilobytes else 0


def disk_held(processes: Sequence[Any], log: Any) -> int:
    """The bytes of files, other than the log, that are deleted and that these processes hold open: no folder shows them (Linux)."""
    held: dict[tuple[int, int], int] = {}
    for process in processes:
        with suppress(OSError):
            for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
                with suppress(OSError):
                    status = descriptor.stat()
                    if status.st_nlink == 0 and stat.S_ISREG(status.st_mode):
                        held[status.st_dev, status.st_ino] = 512 * status.st_blocks
    own = os.fstat(log.fileno())  # what is printed has a limit of its own, that of any file
    held.pop((own.st_dev, own.st_ino), None)
    return sum(held.values())


def environment(folder: Path) -> dict[str, str]:
    """The environment variables: all that a command is told of the outside."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    own = dict.fromkeys(("HOME", "TMPDIR", "TMP", "TEMP"), str(folder))
    python = {"PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    torch = {"TORCH_COMPILE_DISABLE": "1"}  # there may be no compiler: torch.compile then does nothing
    return kept | own | python | torch | {"USER": "student", "LOGNAME": "student"}


def readable_paths() -> list[Path]:
    """What Python and PyTorch need to see of the machine."""
    python = [Path(sys.prefix), Path(sys.base_prefix), Path(os.path.realpath(sys.executable)).parents[1]]
    system = [Path(path) for path in ("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/proc", "/sys/devices/system/cpu")]
    return [*python, *system, *(Path(f"/dev/{name}") for name in ("null", "zero", "random", "urandom"))]


def place(source: Path | bytes, path: Path) -> None:
    """Put a copy of a file or folder, or these bytes, at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(source, bytes):
        path.write_bytes(source)
    elif source.is_dir():
        shutil.copytree(source, path)
    else:
        shutil.copyfile(source, path)


def read_plain(path: Path) -> bytes | None:
    """The content of a regular file; None if it is anything else, such as a link to the grader's files, or too large."""
    try:
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)), "rb") as file:  # noqa: PTH123
            ordinary = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            content = file.read(READ + 1) if ordinary else b""
    except OSError:
        return None
    return content if ordinary and len(content) <= READ else None


def remove(folder: Path) -> None:
    """Remove a folder whose subfolders may be closed to their owner or deeper than Python can follow, and whose links may lead out."""
    if os.name == "posix":
        subprocess.run(["chmod", "-R", "u+rwX", folder], check=False, capture_output=True)
        subprocess.run(["rm", "-rf", folder], check=False, capture_output=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)
