"""What all benchmarks share: measuring in turns, naming the machine, a table, a JSON file, and a plot."""

import json
import os
import platform
import sys
import time
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))
from console import Parser, UserError, number
from files import check_output, write_text


def parser_of(description: str, in_rounds: bool = True) -> Parser:
    """A parser with the flags that all benchmarks share and, with `in_rounds`, the number of rounds."""
    parser = Parser(description=description)
    if in_rounds:
        parser.add_argument("--rounds", type=number(int, 1), default=3, help="how often all are measured, in turns (default 3)")
    parser.add_argument("--json", type=output_file, metavar="FILE", help="also write the results here, as JSON")
    return parser


def output_file(text: str) -> Path:
    """An argparse type: a file that can be written when the measuring is done."""
    try:
        check_output(text)
    except UserError as error:  # whose message argparse would not show
        raise ArgumentTypeError(str(error)) from None
    return Path(text)


def figure_file(text: str) -> Path:
    """The same for a figure."""
    if Path(text).suffix not in (".svg", ".png"):
        raise ArgumentTypeError(f"can't draw {text}: its name must end in .svg or .png")
    return output_file(text)


def seconds(work: Callable[[], object], device: torch.device | None = None) -> float:
    """How long the work takes, until the device has finished it."""
    started = time.perf_counter()
    work()
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
    if device is not None and device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter() - started


def in_turns(contenders: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """The seconds of each contender in each round. On a noisy machine, compare only within rounds."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, measure in contenders.items():
            times[name].append(measure())
    return times


def ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    """How many times as fast `fast` is: the median over the rounds."""
    return median(a / b for a, b in zip(slow, fast, strict=True))


def machine(device: torch.device | None = None) -> str:
    """The hardware and software measured on."""
    if device is not None and device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        cpuinfo = Path("/proc/cpuinfo")
        lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
        models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        name = f"{models[0] if models else platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    return f"{name}, PyTorch {torch.__version__}, Python {platform.python_version()}, {platform.system()}"


def finish(args: Namespace, rows: Sequence[Mapping[str, Any]], device: torch.device | None = None) -> None:
    """Print the rows as a table under the machine's name, and write them where `--json` says."""
    print(machine(device))
    names = list(rows[0])
    cells = [[f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    for line in (names, *cells):
        print("  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]))
    if args.json:
        arguments = {name: value for name, value in vars(args).items() if name != "json"}
        content = {"machine": machine(device), "arguments": arguments, "rows": list(rows)}
        write_text(args.json, json.dumps(content, indent=2, default=str) + "\n")  # str for paths


def pyplot_for_files() -> ModuleType:
    """matplotlib's pyplot, set up so that the same figure always gives the same small file. Raises UserError if not installed."""
    try:
        import matplotlib
    except ImportError:
        raise UserError("the plot needs matplotlib: pip install -r requirements-benchmarks.txt") from None
    matplotlib.use("agg")
    matplotlib.rcParams |= {"svg.hashsalt": "benchmarks", "svg.fonttype": "none"}
    from matplotlib import pyplot

    return pyplot


def save_figure(figure: Any, path: Path) -> None:
    """Write a pyplot figure as SVG or PNG, by the path's suffix."""
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
