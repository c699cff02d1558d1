"""Going on where a run stopped: checkpoints that hold all there is to a run, and signals that end it in good order.

A checkpoint lies beside the parameters that the run is to write: `x.params.checkpoint`, and the one before it,
`x.params.checkpoint.previous`. Since the random choices of a run are functions of its seed and the step, a step number
beside weights and optimizers is all that it takes to go on as if nothing had happened.
"""

import hashlib
import shlex
import signal
import sys
import time
from io import BytesIO
from pathlib import Path
from types import FrameType
from typing import Any, Self

import torch

import processes
from files import Stopped, UnwritableError, UserError, card_path, clear_leftovers, written_whole
from trainer import Trainer

HASH_SIZE = hashlib.sha256().digest_size


class Checkpoints:
    """The checkpoints of a run: `run` tells it from others, by plain values."""

    def __init__(self, params_path: str | Path, run: dict[str, Any], minutes: float) -> None:
        self.path = Path(f"{params_path}.checkpoint")
        self.previous = Path(f"{self.path}.previous")
        self.run, self.minutes = run, minutes
        self.saved_at = time.monotonic()
        if processes.rank() == 0:
            for leftover in (params_path, card_path(params_path), self.path):
                clear_leftovers(leftover)

    def due(self) -> bool:
        """Whether `minutes` have passed since the last one, or the beginning."""
        return time.monotonic() - self.saved_at >= 60 * self.minutes

    def save(self, state: dict[str, Any]) -> None:
        """Write a trainer's state, all of it or nothing; with several processes, the first one does. Raises UnwritableError."""
        self.saved_at = time.monotonic()
        if processes.rank() > 0:
            return
        content = BytesIO()
        torch.save({"run": self.run, "state": state}, content)
        with written_whole(self.path) as temporary:
            with temporary.open("wb") as file:
                file.write(hashlib.sha256(content.getbuffer()).digest())
                file.write(content.getbuffer())
            if read_whole(self.path) is not None:  # a damaged one does not take a good one's place
                self.path.replace(self.previous)

    def load(self) -> dict[str, Any] | None:
        """The newest state that is whole; None where there is none. Raises UserError where it is another run's."""
        found = processes.from_first(self.read() if processes.rank() == 0 else None)
        if found is None:
            return None
        for name, ours in self.run.items():
            if (theirs := found["run"].get(name)) != ours:
                raise UserError(f"{self.path} is of a run with {name} {theirs}, not {ours}: give the same, or leave --resume out")
        return found["state"]

    def read(self) -> dict[str, Any] | None:
        """What the newest whole file holds."""
        for path in (self.path, self.previous):
            if (content := read_whole(path)) is not None:
                return torch.load(BytesIO(content), map_location="cpu", weights_only=True)
            if path.exists():
                print(f"warning: {path} is damaged, and not used", file=sys.stderr)
        return None


def read_whole(path: Path) -> memoryview | None:
    """The content of a checkpoint behind its hash; None where it is missing or not as it was written."""
    try:
        content = memoryview(path.read_bytes())
    except OSError:
        return None
    return content[HASH_SIZE:] if hashlib.sha256(content[HASH_SIZE:]).digest() == content[:HASH_SIZE] else None


class Signals:
    """While it is entered, the first Ctrl-C or SIGTERM is noted in `received`; a second one acts as ever."""

    def __init__(self) -> None:
        self.received = 0

    def __enter__(self) -> Self:
        self.former = {number: signal.signal(number, self.note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        if processes.count() == 1:  # torchrun passes on what a terminal has sent already
            self.__exit__()
            print("\nstopping after this step; once more to stop at once", file=sys.stderr)

    def __exit__(self, *_: object) -> None:
        for number, handler in self.former.items():
            signal.signal(number, handler)


def train_resumably(trainer: Trainer, checkpoints: Checkpoints) -> None:
    """Train to the end, with checkpoints on the way and there. Raises Stopped, all being saved, where a signal comes."""
    with Signals() as signals:

        def after_step() -> None:
            received = processes.largest(signals.received)  # all stop after the same step
            if received or checkpoints.due():
                try:
                    checkpoints.save(trainer.state())
                except UnwritableError as error:
                    if received:
                        raise
                    print(f"warning: {error}; training goes on, with the checkpoint before", file=sys.stderr)
            if received:
                command = shlex.join(["python", *sys.argv, *([] if "--resume" in sys.argv else ["--resume"])])
                raise Stopped(received, f"stopped after step {trainer.step}; go on with: {command}")

        trainer.train(after_step)
        checkpoints.save(trainer.state())
