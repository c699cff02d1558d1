"""What TensorBoard shows of a run."""

import sys
from pathlib import Path
from typing import Self


class Curves:
    """Writes into a TensorBoard folder; where that fails, it says so once, and the work goes on without."""

    def __init__(self, folder: Path | None, first_step: int | None = None) -> None:
        """Without a folder, nothing is written. What is there of `first_step` and later ones is no longer shown."""
        self.folder, self.writer = folder, None
        if folder is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter  # its import takes seconds

            self.writer = SummaryWriter(folder, purge_step=first_step)
        except Exception as error:
            self.give_up(error)

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        """A point of the curve `tag`."""
        if self.writer is not None:
            try:
                self.writer.add_scalar(tag, value, step)
            except Exception as error:
                self.give_up(error)

    def flush(self) -> None:
        """Let a reader see all points."""
        if self.writer is not None:
            try:
                self.writer.flush()
            except Exception as error:
                self.give_up(error)

    def give_up(self, error: Exception) -> None:
        """Go on without curves."""
        self.writer = None
        print(f"warning: can't write {self.folder} ({error}): going on without TensorBoard", file=sys.stderr)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.writer is not None:
            try:
                self.writer.close()
            except Exception as error:
                self.give_up(error)
