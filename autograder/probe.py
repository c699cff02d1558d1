"""Runs in the sandbox: reads parameters with the grader's code, or has a submission's code do something.

    python probe.py params FILE...    says what each holds, and writes it anew for a machine without a GPU
    python probe.py code              makes examples and layers, as task.json says

The answer is in result.json, including what was done before something failed.
"""

import importlib
import json
import sys
import traceback
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

LARGEST = 100 * 10**6  # bytes of parameters


def main() -> None:
    if sys.argv[1] == "params":
        works = {path: partial(describe_params, path) for path in sys.argv[2:]}
    else:
        sys.path.insert(0, "src")
        task = json.loads(Path("task.json").read_text(encoding="utf-8"))
        works = {"corruption": partial(corrupt, **task["corruption"])}
        works |= {name: partial(apply_layer, *layer_task) for name, layer_task in task["layers"].items()}
    results: dict[str, Any] = {}
    for name, work in works.items():
        results[name] = attempt(work)
        Path("result.json").write_text(json.dumps(results), encoding="utf-8")  # in case the next one ends the process


def attempt(work: Callable[[], Any]) -> dict[str, Any]:
    """What `work` returns, or what it raises, and where in the submission's code."""
    try:
        return {"value": work()}
    except Exception as error:
        frames = [(Path(frame.filename).resolve(), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
        where = [f"{path.name}, line {line}: " for path, line in frames if path.is_relative_to(Path("src").resolve())]
        return {"error": f"{''.join(where[-1:])}{type(error).__name__}: {error}"[:500]}


def describe_params(path: str) -> dict[str, Any]:
    """The variant and bottleneck of parameters; nothing but tensors and plain values is unpickled."""
    sys.path.insert(0, "project/src")
    import torch

    from checkpoint import describe, read_plain, read_state

    content = BytesIO()
    torch.save(read_plain(Path(path), LARGEST), content)  # saved from a GPU, they would need one to be loaded
    Path(path).write_bytes(content.getbuffer())  # torch.save itself would put the file's name into it
    return describe(read_state(Path(path), LARGEST))


def corrupt(lines: list[str], block_size: int, looks: int) -> list[list[list[int]]]:
    """Each line's example as [x, y]; all lines, `looks` times over."""
    dataset = importlib.import_module("dataset").CharCorruptionDataset("\n".join(lines), block_size)
    return [[list(map(int, part)) for part in dataset[i]] for _ in range(looks) for i in range(len(lines))]


def apply_layer(name: str, config: dict[str, Any], weights: dict[str, Any], inputs: list[Any]) -> list[list[float]] | None:
    """What the submission's layer gives; None if it has no such layer."""
    attention = importlib.import_module("attention")
    if not hasattr(attention, name):
        return None
    import torch

    layer = getattr(attention, name)(SimpleNamespace(**config)).eval()
    layer.load_state_dict({key: torch.tensor(value) for key, value in weights.items()}, strict=False)
    with torch.no_grad():
        output = layer(*(torch.tensor([x]) for x in inputs))
    return (output[0] if isinstance(output, tuple) else output)[0].tolist()


if __name__ == "__main__":
    main()
