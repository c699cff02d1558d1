"""What attention costs by sequence length, with and without a bottleneck, compared with what theory counts.

    python benchmarks/attention_cost.py --plot docs/attention_cost.svg

Theory counts scores: L·l² for L layers on sequences of length l, 2·l·m + (L-2)·m² with a bottleneck of m. Measured are
only the attention layers of a model of the handout's width, forward and backward, on one sequence: their time, and the
memory that they keep for the backward pass; once as the equation is written (plain.py), once as this project runs them,
except that its model's first layer reads only the m inputs that its latents see, and here, as theory has it, all l.
The plot needs matplotlib (requirements-benchmarks.txt).
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from report import figure_file, finish, in_turns, parser_of, pyplot_for_files, save_figure, seconds

from acceleration import pick_device
from attention import CausalCrossAttention, CausalSelfAttention
from console import number, run_reporting_errors
from model import GPTConfig
from plain import make_plain

LAYERS = 4


class Stack(nn.Module):
    """The attention layers of a model, in sequence; with a bottleneck, the first and last are cross-attention into and out of it."""

    def __init__(self, length: int, bottleneck: int | None) -> None:
        super().__init__()

        def config(block_size: int) -> GPTConfig:
            return GPTConfig(2, block_size, embd_pdrop=0.0, resid_pdrop=0.0, attn_pdrop=0.0)

        self.bottleneck = bottleneck
        if bottleneck is None:
            self.inner = nn.Sequential(*(CausalSelfAttention(config(length)) for _ in range(LAYERS)))
        else:
            self.down, self.up = CausalCrossAttention(config(length)), CausalCrossAttention(config(length))
            self.inner = nn.Sequential(*(CausalSelfAttention(config(bottleneck)) for _ in range(LAYERS - 2)))

    def forward(self, x: Tensor) -> Tensor:
        """(1, l, C) -> (1, l, C)"""
        if self.bottleneck is None:
            return self.inner(x)
        return self.up(self.inner(self.down(x, x[:, : self.bottleneck])), x)


def scores_by_theory(length: int, bottleneck: int | None) -> int:
    """How many scores the handouts count for one head."""
    if bottleneck is None:
        return LAYERS * length**2
    return 2 * length * bottleneck + (LAYERS - 2) * bottleneck**2


def memory_kept(model: nn.Module, x: Tensor) -> float:
    """MB that the forward pass keeps for the backward pass, excluding parameters."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        y = model(x)  # kept alive, so that no address is reused
    del y
    return sum(kept.values()) / 1e6


def main() -> None:
    """Measure every length, without a bottleneck and with every shorter one."""
    parser = parser_of("Measure time and memory of attention by length and bottleneck.")
    parser.add_argument("--lengths", type=number(int, 8), nargs="+", default=[128, 256, 512, 1024, 2048, 4096])
    parser.add_argument("--bottlenecks", type=number(int, 1), nargs="+", default=[32, 64, 128, 256])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--plot", type=figure_file, metavar="FILE", help="draw the figures here, as SVG or PNG by its ending")
    args = parser.parse_args()
    device = pick_device(args.device)
    pyplot = args.plot and pyplot_for_files()

    rows: list[dict[str, Any]] = []
    for length in args.lengths:
        x = torch.randn(1, length, 256, device=device, requires_grad=True)
        for m in [None, *(m for m in args.bottlenecks if m < length)]:
            row: dict[str, Any] = {"length": length, "bottleneck": m or "none", "scores by theory": scores_by_theory(length, m)}
            models = {"equation": make_plain(Stack(length, m).to(device)), "project": Stack(length, m).to(device)}
            contenders = {name: partial(seconds, passes(model, x), device) for name, model in models.items()}
            in_turns(contenders, rounds=1)  # what libraries do the first time doesn't count
            for name, times in in_turns(contenders, args.rounds).items():
                row[f"{name}, ms"] = 1e3 * median(times)
                row[f"{name}, MB"] = memory_kept(models[name], x)
            rows.append(row)
    finish(args, rows, device)
    if args.plot:
        draw(rows, pyplot, args.plot)


def passes(model: nn.Module, x: Tensor) -> Callable[[], None]:
    """A forward and a backward pass."""
    return lambda: model(x).sum().backward()


def draw(rows: list[dict[str, Any]], pyplot: ModuleType, path: Path) -> None:
    """Time and memory against length; dashed: theory's count, scaled to match the measurement at the last length."""
    figure, axes = pyplot.subplots(2, 2, figsize=(10, 8), sharex=True, sharey="row", layout="constrained")
    bottlenecks = list(dict.fromkeys(row["bottleneck"] for row in rows))
    for row_of_axes, (unit, what) in zip(axes, (("ms", "forward and backward, ms"), ("MB", "kept for the way back, MB")), strict=True):
        for axis, (way, title) in zip(
            row_of_axes, (("equation", "as the equation is written"), ("project", "as this project runs it")), strict=True
        ):
            for colour, m in zip(pyplot.colormaps["viridis"].resampled(len(bottlenecks) + 1).colors, bottlenecks, strict=False):
                mine = [row for row in rows if row["bottleneck"] == m]
                lengths, values = [row["length"] for row in mine], [row[f"{way}, {unit}"] for row in mine]
                axis.plot(lengths, values, "o-", color=colour, label="vanilla" if m == "none" else f"bottleneck {m}")
                theory = [row["scores by theory"] * values[-1] / mine[-1]["scores by theory"] for row in mine]
                axis.plot(lengths, theory, "--", color=colour, linewidth=1)
            axis.set(yscale="log", ylabel=what, title=title, xlabel="length of the sequence")
            axis.set_xscale("log", base=2)
            axis.set_xticks(sorted({row["length"] for row in rows}), sorted({row["length"] for row in rows}))
            axis.grid(alpha=0.3)
    axes[0][0].legend(title="dashed: theory, scaled")
    save_figure(figure, path)


if __name__ == "__main__":
    sys.exit(run_reporting_errors(main))
