"""What TensorBoard shows of a run."""

import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import processes
from recipes import Recipe


class Curves:
    """Writes to a TensorBoard folder; if that fails, it says so once, and the work goes on without curves."""

    def __init__(self, folder: Path | None, first_step: int | None = None) -> None:
        """Without a folder, nothing is written. Points already there from `first_step` on are hidden."""
        self.folder = folder  # also None after a first failure
        self.attempt(lambda: self.open(first_step))

    def open(self, first_step: int | None) -> None:
        from torch.utils.tensorboard import SummaryWriter  # importing it takes seconds

        self.writer = SummaryWriter(self.folder, purge_step=first_step)

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        """Add a point to the curve `tag`."""
        self.add("scalar", tag, value, step)

    def add(self, kind: str, *what: Any) -> None:
        """Add anything else; `kind` names the method of SummaryWriter: `text` stands for add_text, say."""
        self.attempt(lambda: getattr(self.writer, f"add_{kind}")(*what))

    def add_run(self, name: str, args: Namespace, recipe: Recipe, results: dict[str, float]) -> None:
        """Add a line to the HParams tab: what was run, under the name of its output, and the results."""
        chosen = {"function": args.function, "variant": args.variant, "seed": args.seed, "recipe": args.recipe}
        if args.variant == "perceiver":
            chosen["bottleneck_dim"] = args.bottleneck_dim
        plain = {field: value if isinstance(value, bool | int | float | str) else str(value) for field, value in asdict(recipe).items()}
        self.add("hparams", chosen | plain, results, None, name)

    def flush(self) -> None:
        """Make all points visible to readers."""
        self.attempt(lambda: self.writer.flush())

    def attempt(self, write: Callable[[], None]) -> None:
        """Call `write`; if it fails, go on without curves."""
        if self.folder is None:
            return
        try:
            write()
        except Exception as error:
            folder, self.folder = self.folder, None
            print(f"warning: can't write {folder} ({error}): going on without TensorBoard", file=sys.stderr)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.attempt(lambda: self.writer.close())


def open_curves(args: Namespace, recipe: Recipe, first_step: int | None = None) -> Curves:
    """Open the run's TensorBoard folder in expt/, named as in the handouts."""
    _, finetune_lr = recipe.finetuning(pretrained=args.function != "finetune" or args.reading_params_path is not None)
    run = f"{args.tb_expt_name}_{args.variant}_{args.bottleneck_dim}_pt_lr_{recipe.pretrain_lr:f}_ft_lr_{finetune_lr:f}"
    return Curves(Path("expt", args.function, run) if processes.rank() == 0 else None, first_step)


def markdown_table(head: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """A table in Markdown, which TensorBoard renders."""
    lines = [head, ["---"] * len(head), *([str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
