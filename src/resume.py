"""Resuming where a run stopped: checkpoints that hold all there is to a run, and signals that end it cleanly.

A checkpoint lies beside the parameters that the run will write: `x.params.checkpoint`, and the one before it,
`x.params.checkpoint.previous`. Since the random choices of a run are functions of its seed and the step, the weights, the
optimizers and a step number are all that it takes to resume as if nothing had happened.
"""

import hashlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

import processes
from cards import card_path
from checkpoint import load_plain, unpacked_size
from console import Stopped, UserError, typed
from files import checkpoint_paths, clear_leftovers, reading, written_whole
from trainer import Trainer

HASH_SIZE = hashlib.sha256().digest_size
CHECKPOINT_DUE = 1  # a reason to save; the other is a signal, as its number, which is larger


class Checkpoints:
    """The checkpoints of a run; the plain values in `run` tell it from others."""

    def __init__(self, params_path: str | Path, run: dict[str, Any], minutes: float) -> None:
        self.path, self.previous = checkpoint_paths(params_path)
        self.run, self.minutes = run, minutes
        self.saved_at = time.monotonic()
        self.saved_step: int | None = None
        self.earlier_kept = False  # whether the one before the newest is an earlier run's
        if processes.rank() == 0:
            for leftover in (params_path, card_path(params_path), self.path):
                clear_leftovers(leftover)

    def due(self) -> bool:
        """Whether `minutes` have passed since the last checkpoint or the beginning. Of several processes, only the first ever says so."""
        return processes.rank() == 0 and time.monotonic() - self.saved_at >= 60 * self.minutes

    def save(self, state: dict[str, Any]) -> bool:
        """Write a trainer's state atomically; of several processes, only the first does.

        Returns False, with a warning, if it can't: that is no reason to lose the run.
        """
        if processes.rank() > 0:
            return True
        self.saved_at = time.monotonic()
        first = self.saved_step is None
        content = BytesIO()  # its hash comes first, and a full disk is best reported by what writes it
        torch.save({"run": self.run, "state": state}, content)
        try:
            moved = self.write(content)
        except UserError as error:  # a full disk, or missing permissions
            print(f"warning: {error}; the previous checkpoint, if any, is kept", file=sys.stderr)
            return False
        self.saved_step, self.earlier_kept = state["step"], first and moved
        return True

    def write(self, content: BytesIO) -> bool:
        """Replace the newest checkpoint with this content, preceded by its hash. Raises UserError if it can't.

        Returns whether there was an intact one, which is now the previous one.
        """
        with written_whole(self.path) as temporary:
            with temporary.open("wb") as file:
                file.write(hashlib.sha256(content.getbuffer()).digest())
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())  # before the older one is given up
            if intact := read_whole(self.path) is not None:  # a damaged one must not replace a good one
                self.path.replace(self.previous)
        return intact

    def load(self) -> dict[str, Any] | None:
        """The newest state that is intact; None if there is none. Raises UserError if it can't be read or is another run's."""
        with processes.agreeing():
            there = processes.gathered(self.path.exists())
            if any(there) and not there[0]:
                raise UserError(f"{self.path} is with process {there.index(True)}, not with the first: copy it to the first, or delete it")
            found = self.read() if processes.rank() == 0 else None
        found = processes.from_first(found)
        if found is None:
            return None
        if difference := self.difference(found["run"]):
            cure = f"give the same, or leave --resume out, or delete it and {self.previous.name}"
            if processes.rank() == 0 and self.is_own(self.previous):
                cure = f"to resume this one, move that file away, then rename {self.previous.name}, which is its own, to {self.path.name}"
            raise UserError(f"{self.path} is of a run with {difference}: {cure}")
        self.saved_step = found["state"]["step"]
        return found["state"]

    def difference(self, run: dict[str, Any]) -> str:
        """What first tells another run from this one; nothing if it is the same."""
        for name in run | self.run:
            theirs, ours = run.get(name), self.run.get(name)
            if theirs != ours and (theirs or ours):  # another version may lack an option that this one has switched off
                return f"{name} {theirs}, not {ours}"
        return ""

    def is_own(self, path: Path) -> bool:
        """Whether there is an intact checkpoint of this run."""
        with suppress(UserError):
            content = read_whole(path)
            return content is not None and not self.difference(parse(content, path)["run"])
        return False

    def read(self) -> dict[str, Any] | None:
        """What the newest intact file holds."""
        for path in (self.path, self.previous):
            if (content := read_whole(path)) is not None:
                return parse(content, path)
            if path.exists():
                print(f"warning: {path} is damaged, and not used", file=sys.stderr)
        return None


def parse(content: BytesIO, path: Path) -> dict[str, Any]:
    """What an intact checkpoint holds. Raises UserError if it can't be read: beginning anew would overwrite it."""
    try:
        if unpacked_size(content) > content.getbuffer().nbytes:
            raise ValueError("it was packed, to fill the memory")
        found = load_plain(content)
        return {"run": dict(found["run"]), "state": dict(found["state"])}
    except Exception as error:  # what a forged one raises is anybody's guess
        why = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(f"{path} is whole, but can't be read here ({why}): leave --resume out, or delete it") from None


def read_whole(path: Path) -> BytesIO | None:
    """The content of a checkpoint after its hash; None if it is missing or not as it was written.

    Raises UserError if there is one that can't be read.
    """
    with reading(path):
        try:
            content = memoryview(path.read_bytes())
        except FileNotFoundError:
            return None
    if hashlib.sha256(content[HASH_SIZE:]).digest() != content[:HASH_SIZE]:
        return None
    return BytesIO(content[HASH_SIZE:])


@contextmanager
def noting_signals() -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM are noted in a list; with a single process, a second Ctrl-C interrupts, as it would outside of this.

    A second SIGTERM does not: whoever ends a group of processes may send it to each, and they may pass it on to one another.
    """
    received: list[int] = []
    former: dict[int, Any] = {}

    def note(number: int, _: object) -> None:
        received.append(number)
        if len(received) == 1 and processes.count() == 1:  # torchrun passes on what a terminal has already sent
            if signal.SIGINT in former:
                signal.signal(signal.SIGINT, former[signal.SIGINT])
            with suppress(OSError):  # not through a stream, which might be in use right now
                os.write(2, b"\nstopping after this step; Ctrl-C stops at once\n")

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:  # as it is for background jobs
            former[number] = signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def train_resumably(trainer: Trainer, checkpoints: Checkpoints, received: Sequence[int], after_epoch: Callable[[int], None]) -> None:
    """Train to the end, with checkpoints during training and at the end.

    If a signal is received before the last step is done, saves everything and raises Stopped.
    """

    def after_step() -> None:
        # all processes save, or stop, after the same step
        reason = processes.largest(received[0] if received else CHECKPOINT_DUE * checkpoints.due())
        saved = not reason or checkpoints.save(trainer.state())  # all take the state: that may end the run, in all alike
        if reason > CHECKPOINT_DUE:
            raise Stopped(reason, farewell(trainer.step, saved, checkpoints))

    trainer.train(after_step, after_epoch)
    if checkpoints.saved_step != trainer.step:
        checkpoints.save(trainer.state())


def this_python() -> str:
    """What to type for this interpreter: `python` if that starts it, or else its path."""
    found, own = shutil.which("python"), Path(sys.executable)
    return "python" if found and Path(found).parent == own.parent and own.samefile(found) else str(own)  # environments link to one file


def farewell(step: int, saved: bool, checkpoints: Checkpoints) -> str:
    """What a run says when a signal ends it after that step."""
    resume = [] if "--resume" in sys.argv else ["--resume"]
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)  # what comes after it is no flag
    command = typed([this_python(), *sys.argv[:end], *resume, *sys.argv[end:]])
    how = command if processes.count() == 1 else "the same command and --resume"
    kept = f"; going on replaces {checkpoints.previous}, which is an earlier run's" if checkpoints.earlier_kept else ""
    return f"stopped after step {step}{'' if saved else ', not saved'}{kept}; resume with: {how}"
