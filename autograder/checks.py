"""What a submission's span corruption and attention layers must satisfy, in plain Python.

Nothing here runs a submission's code: its output arrives as lists of numbers.
"""

import math
import random
from collections.abc import Sequence
from statistics import mean, pstdev
from typing import Any, NamedTuple

PAD, MASK = "\u25a1", "\u2047"
BLOCK_SIZE = 50  # of the span corruption that is checked
LOOKS = 8  # at each line
TOLERANCE = 1e-4
Matrix = list[list[float]]


# ---------------------------------------------------------------- span corruption


def random_lines() -> list[str]:
    """104 lines of text that nobody knows beforehand."""
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ,.é  "
    return ["".join(random.choices(letters, k=random.randint(60, 90))) for _ in range(104)]


class Property(NamedTuple):
    """Something that all examples must satisfy, and what it is worth."""

    points: int
    what: str
    failure: str | None  # an example of where it fails


def corruption_properties(lines: Sequence[str], examples: Any) -> list[Property]:
    """The properties of the examples: [x, y] of vocabulary indices for each line, `LOOKS` times over.

    10 points in all; the properties are those of the handouts' span corruption.
    """
    vocabulary = [PAD, MASK, *sorted(set("\n".join(lines)))]
    form = arrangement = lengths = masks = None
    kept, masked = [], []
    ratios, surplus = [], []  # kept of the line; masked beyond a quarter
    for number, (x, y) in enumerate(examples):
        line = lines[number % len(lines)]
        if not len(x) == len(y) in (BLOCK_SIZE - 1, BLOCK_SIZE) or x[1:] != y[:-1]:
            form = form or f"x and y have {len(x)} and {len(y)} entries, or y is not x shifted by one"
        text = "".join(vocabulary[index] for index in [*x, *y[-1:]]).rstrip(PAD)
        pieces = (text[:-1] if text.count(MASK) == 3 and text.endswith(MASK) else text).split(MASK)
        if len(pieces) != 3 or PAD in text or not line.startswith(pieces[0] + pieces[2] + pieces[1]):
            arrangement = arrangement or f"{text!r} of the line {line!r}"
            continue
        kept.append(sum(map(len, pieces)))
        masked.append(len(pieces[2]))
        ratios.append(kept[-1] / len(line))
        surplus.append(masked[-1] - kept[-1] / 4)
    longest = BLOCK_SIZE * 7 // 8
    if not kept:
        lengths = masks = "no example could be read"
    elif not 4 <= min(kept) <= max(kept) <= longest:
        lengths = f"lengths from {min(kept)} to {max(kept)}"
    elif pstdev(ratios) <= 0.05:
        lengths = "the lengths hardly vary"
    if kept and abs(mean(surplus)) > 1.5:
        masks = f"{mean(masked):.1f} characters of {mean(kept):.1f} on average"
    elif kept and (pstdev(masked) < 0.5 or pstdev(surplus) < 0.5):
        masks = "the masked length hardly varies, or follows from the length kept"
    return [
        Property(2, "x and y are as long as the block, or one less; y is x shifted by one", form),
        Property(4, "prefix, MASK, suffix, MASK, masked content, then only padding; together the beginning of the line", arrangement),
        Property(2, f"from 4 to {longest} characters are kept, a varying number", lengths),
        Property(2, "a quarter of them are masked on average, a random number", masks),
    ]


# ---------------------------------------------------------------- attention layers


def random_matrix(n_rows: int, n_columns: int) -> Matrix:
    return [[random.gauss(0, 1) for _ in range(n_columns)] for _ in range(n_rows)]


class LayerTask(NamedTuple):
    """A layer to build, its parameters, and its inputs."""

    layer: str
    config: dict[str, Any]
    weights: dict[str, Any]
    inputs: list[Matrix]  # x; or x_kv and x_q


def layer_tasks() -> dict[str, LayerTask]:
    """A task for each of the three layers, with random numbers."""
    n_head, width, block_size, T = 3, 6, 8, 7
    config = {"n_head": n_head, "n_embd": width, "block_size": block_size, "vocab_size": 10, "n_layer": 2, "bottleneck_dim": 4}
    config |= {"attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "perceiver": False, "synthesizer": False, "rope": False}

    def linear(*names: str) -> dict[str, Any]:
        return {f"{n}.weight": random_matrix(width, width) for n in names} | {f"{n}.bias": random_matrix(1, width)[0] for n in names}

    def x() -> Matrix:
        return random_matrix(T, width)

    dot_product = linear("key", "query", "value", "proj")
    synthesized = linear("w1", "value", "proj") | {
        "w2": random_matrix(width // n_head, block_size - 1),
        "b2": random_matrix(1, block_size - 1)[0],
    }
    return {
        "attention": LayerTask("CausalSelfAttention", config, dot_product, [x()]),
        "cross": LayerTask("CausalCrossAttention", config, dot_product, [x(), x()[:4]]),
        "synthesizer": LayerTask("SynthesizerAttention", config, synthesized, [x()]),
    }


def expected_output(task: LayerTask) -> Matrix:
    """softmax(scores) X_kv V for each head under the causal mask, joined and projected, written out."""
    x_kv, x_q, w, n_head = task.inputs[0], task.inputs[-1], task.weights, task.config["n_head"]
    size = len(x_q[0]) // n_head
    values = linear(x_kv, w["value.weight"], w["value.bias"])
    joined: Matrix = [[] for _ in x_q]
    for head in range(n_head):
        own = slice(head * size, (head + 1) * size)
        if task.layer == "SynthesizerAttention":  # ReLU(X A + b1) B + b2
            hidden = [[max(0.0, h) for h in row[own]] for row in linear(x_q, w["w1.weight"], w["w1.bias"])]
            scores = [[sum(h * b[j] for h, b in zip(row, w["w2"], strict=True)) + w["b2"][j] for j in range(len(x_kv))] for row in hidden]
        else:  # (X_q Q)(X_kv K)^T / sqrt(size)
            queries = [row[own] for row in linear(x_q, w["query.weight"], w["query.bias"])]
            keys = [row[own] for row in linear(x_kv, w["key.weight"], w["key.bias"])]
            scores = [[dot(query, key) / math.sqrt(size) for key in keys] for query in queries]
        for i, row in enumerate(scores):
            weights = [math.exp(score) for score in row[: i + 1]]  # position i sees 0 ... i
            joined[i] += [sum(a * v[c] for a, v in zip(weights, values, strict=False)) / sum(weights) for c in range(own.start, own.stop)]
    return linear(joined, w["proj.weight"], w["proj.bias"])


def linear(x: Matrix, weight: Matrix, bias: list[float]) -> Matrix:
    """x weight^T + bias"""
    return [[dot(row, column) + b for column, b in zip(weight, bias, strict=True)] for row in x]


def dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def layer_difference(task: LayerTask, output: Any) -> str | None:
    """What is wrong with a layer's output; None if it is what the equation gives."""
    expected = expected_output(task)
    if not isinstance(output, list) or [len(row) for row in output] != [len(row) for row in expected]:
        return "its output does not have the shape of its input"
    differences = [abs(a - b) for row, right in zip(output, expected, strict=True) for a, b in zip(row, right, strict=True)]
    if all(difference < TOLERANCE for difference in differences):  # false for any NaN
        return None
    return f"its output is up to {max(differences):.2g} off"
