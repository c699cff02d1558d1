"""What every command shares: its arguments, what it prints, and how it ends."""

import argparse
import io
import os
import shlex
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any, NoReturn, TextIO

PATIENCE = 10  # seconds that the other processes wait for the first one to speak


class UserError(ValueError):
    """Something that the user can fix; the message is one line that names it and says how."""

    exit_code = 2


class Stopped(Exception):  # noqa: N818 - not an error
    """Work that a signal ended cleanly; the message says how to resume it."""

    def __init__(self, signal_number: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


def run_reporting_errors(main: Callable[[], int | None]) -> int:
    """Run a command in UTF-8. Returns its exit code; what ends it early decides that code, and is said in one line on stderr.

    With `--debug`, the traceback of an error comes before that line.
    """
    sys.stdout, sys.stderr = Output(sys.stdout), Output(sys.stderr)
    debug = "--debug" in sys.argv
    former_hook = threading.excepthook
    if not debug:
        threading.excepthook = lambda _: None  # a failure that matters reaches whoever waits for the thread
    try:
        return main() or 0
    except (Exception, KeyboardInterrupt) as end:
        if debug and not isinstance(end, Stopped | KeyboardInterrupt):
            traceback.print_exc()
        code, message = explain(end)
        print(f"{Path(sys.argv[0]).name}: {message}", file=sys.stderr)
        return code
    finally:
        threading.excepthook = former_hook
        sys.stdout, sys.stderr = sys.stdout.release(), sys.stderr.release()


def explain(end: BaseException) -> tuple[int, str]:
    """The exit code and the message for what ended a command: 2 is for what the user can fix, 1 for the unforeseen,
    130 and the like for signals.
    """
    if isinstance(end, KeyboardInterrupt):
        return 130, "interrupted"
    if isinstance(end, Stopped):
        return end.exit_code, str(end)
    if isinstance(end, UserError):
        return end.exit_code, f"error: {end}"
    if isinstance(end, ModuleNotFoundError):
        cure = "activate the environment of the project, or pip install -r requirements.txt"
        return UserError.exit_code, f"error: {end}: {cure}"
    if isinstance(end, OSError) and end.filename is not None:  # a folder that is closed to the user, say
        return UserError.exit_code, f"error: can't use {end.filename}: {end.strerror}"
    what = str(end).strip().split("\n")[0] or "no details are known"
    if lacks_memory(end):
        cure = "in training, a smaller --batch_size takes less; another --device may have more"
        return UserError.exit_code, f"error: not enough memory: {cure} ({what})"
    return 1, f"error: {type(end).__name__}: {what} (--debug shows where)"


def lacks_memory(error: BaseException) -> bool:
    """Whether Python, or PyTorch on a GPU or a CPU, ran out of memory."""
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in ("out of memory", "ALLOC_FAILED", "DefaultCPUAllocator"))


class Output(io.TextIOBase):
    """A UTF-8 stream that ignores failed writes (its reader is gone, the disk is full), so that the work goes on."""

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - None: it was closed from the start
        if isinstance(self.stream, io.TextIOWrapper):  # a pipe on Windows has a narrower encoding
            self.stream.reconfigure(encoding="utf-8", errors="backslashreplace")

    def write(self, text: str) -> int:
        with suppress(OSError):
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self.stream.flush()

    def release(self) -> TextIO:
        """Flush for the last time. Returns the stream."""
        try:
            self.stream.flush()
        except OSError:  # what is still buffered would fail again when Python exits
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
        return self.stream

    def isatty(self) -> bool:
        return self.stream.isatty()

    def fileno(self) -> int:
        return self.stream.fileno()

    @property
    def encoding(self) -> str:
        return self.stream.encoding


def typed(words: Sequence[str]) -> str:
    """A command as it is typed in this system's shell."""
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)


def under_torchrun() -> bool:
    """Whether torchrun started this process (RANK alone does not tell: a cluster may set it for its own purposes)."""
    return "TORCHELASTIC_RUN_ID" in os.environ


@contextmanager
def first_one_speaks() -> Iterator[None]:
    """Print nothing in any process but the first, which reports what ends them all (see processes.agreeing)."""
    if not under_torchrun() or os.environ["RANK"] == "0":  # all there is to go by before they have met
        yield
        return
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        try:
            yield
        except (UserError, Stopped) as end:
            if isinstance(end, UserError):
                time.sleep(PATIENCE)  # torchrun ends all as soon as one has ended: let the first speak before that
            raise SystemExit(end.exit_code) from None


@contextmanager
def blaming(path: str | Path) -> Iterator[None]:
    """Prepend `path` to the message of a UserError that the file's content causes."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{path}, {error}") from None


class Parser(argparse.ArgumentParser):
    """Reports errors as everything else here does: in one line, with a traceback under `--debug`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_argument("--debug", action="store_true", help="show where an error comes from")

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see --help)")


def number(kind: type, low: float, high: float = float("inf")) -> Callable[[str], float]:
    """An argparse type: a finite number of this kind, at least `low` and below `high`."""

    def parse(text: str) -> float:
        value = kind(text)
        if not low <= value < high:
            raise ValueError
        return value

    # argparse says: invalid NAME value
    parse.__name__ = f"{kind.__name__} from {low:g}" + (f" to below {high:g}" if high < float("inf") else "")
    return parse
