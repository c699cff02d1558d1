"""Going on where a run stopped: checkpoints that hold all there is to a run, and signals that end it in good order.

A checkpoint lies beside the parameters that the run is to write: `x.params.checkpoint`, and the one before it,
`x.params.checkpoint.previous`. Since the random choices of a run are functions of its seed and the step, a step number
beside weights and optimizers is all that it takes to go on as if nothing had happened.
"""

import hashlib
import signal
import sys
import time
from io import BytesIO
from pathlib import Path
from types import FrameType
from typing import Any, Self

import torch

from files import UserError, written_whole

HASH_SIZE = hashlib.sha256().digest_size


class Checkpoints:
    """The checkpoints of a run: `run` tells it from others, by plain values."""

    def __init__(self, params_path: str | Path, run: dict[str, Any], minutes: float) -> None:
        self.path = Path(f"{params_path}.checkpoint")
        self.previous = Path(f"{self.path}.previous")
        self.run, self.minutes = run, minutes
        self.saved_at = time.monotonic()

    def due(self) -> bool:
        """Whether `minutes` have passed since the last one, or the beginning."""
        return time.monotonic() - self.saved_at >= 60 * self.minutes

    def save(self, state: dict[str, Any]) -> None:
        """Write a trainer's state, all of it or nothing. Raises UserError where the disk is full, say."""
        self.saved_at = time.monotonic()
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
        for path in (self.path, self.previous):
            if (content := read_whole(path)) is not None:
                break
            if path.exists():
                print(f"warning: {path} is damaged, and not used", file=sys.stderr)
        else:
            return None
        found = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
        for name, ours in self.run.items():
            if (theirs := found["run"].get(name)) != ours:
                raise UserError(f"{path} is of a run with {name} {theirs}, not {ours}: give the same, or leave --resume out")
        return found["state"]


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
        self.received: int | None = None

    def __enter__(self) -> Self:
        self.former = {number: signal.signal(number, self.note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self.__exit__()
        print("\nstopping after this step; once more to stop at once", file=sys.stderr)

    def __exit__(self, *_: object) -> None:
        for number, handler in self.former.items():
            signal.signal(number, handler)
