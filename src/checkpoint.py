"""Parameters on disk: a plain `torch.save` of the state_dict, as thousands of runs of the assignment wrote it.

Beside `x.params` lies `x.params.json`, a card that says where the parameters come from. It makes errors clearer and
is never needed; a card whose file was replaced since is not believed.
"""

import hashlib
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from utils import UserError, written_whole


def save_params(model: nn.Module, path: str | Path) -> None:
    """Write the model's state_dict, its tensors on the CPU; all of it or nothing."""
    with written_whole(path) as temporary:
        torch.save({name: tensor.cpu() for name, tensor in model.state_dict().items()}, temporary)


def load_params(model: nn.Module, path: str | Path, vocabulary: str | None = None) -> None:
    """Load parameters into a model on any device. Nothing but tensors is unpickled.

    `vocabulary` is the hash of the corpus's, compared with the card's. Raises UserError where the file can't be read,
    or is of another variant, size or vocabulary than the model.
    """
    try:
        content = BytesIO(Path(path).read_bytes())
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror or error}") from None
    try:
        state = torch.load(content, map_location="cpu", weights_only=True)
    except Exception:  # what a damaged or foreign file raises is anybody's guess
        raise UserError(f"{path} is not a file of parameters, or damaged: train it again") from None
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise UserError(f"{path} holds something else than a model's parameters")

    wanted = model.state_dict()
    found, asked = describe(state), describe(wanted)
    if card := read_card(path):
        found["heads"], asked["heads"] = card["recipe"]["n_head"], model.config.n_head
        found["corpus"], asked["corpus"] = card["vocabulary_sha256"], vocabulary or card["vocabulary_sha256"]
    for what, value in found.items():
        if what == "corpus" and value != asked[what]:
            raise UserError(f"{path} was trained with other characters than this corpus has: give the corpus {card['corpus']}")
        if value != asked[what]:
            raise UserError(f"{path} has {what} {value}, the command says {asked[what]}: mend the command, or give other parameters")
    odd = sorted(wanted.keys() ^ state.keys()) or sorted(name for name in wanted if wanted[name].shape != state[name].shape)
    if odd:
        raise UserError(f"{path} does not fit the model: see {', '.join(odd[:3])}{' and others' if len(odd) > 3 else ''}")
    model.load_state_dict(state)


def describe(state: dict[str, Tensor]) -> dict[str, Any]:
    """What the names and shapes of a state_dict say of its model."""

    def size(name: str, axis: int) -> int | None:
        return state[name].size(axis) if name in state and state[name].dim() > axis else None

    variant = "vanilla"
    if "down_block.C" in state:
        variant = "perceiver"
    elif "blocks.0.attn.w1.weight" in state:
        variant = "synthesizer"
    return {
        "variant": variant,
        "bottleneck_dim": size("down_block.C", 1),
        "vocabulary size": size("tok_emb.weight", 0),
        "width": size("tok_emb.weight", 1),
        "block size": size("pos_emb", 1),
    }


# ---------------------------------------------------------------- cards


def card_path(path: str | Path) -> Path:
    """Where the card of a parameters file lies."""
    return Path(f"{path}.json")


def write_card(path: str | Path, facts: dict[str, Any]) -> None:
    """Write the card of the parameters at `path`; `facts` are plain values."""
    facts = facts | {"params_sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest()}
    with written_whole(card_path(path)) as temporary:
        temporary.write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_card(path: str | Path) -> dict[str, Any] | None:
    """The card of the parameters at `path`; None where there is none, or one of other parameters."""
    try:
        card = json.loads(card_path(path).read_text(encoding="utf-8"))
        same = card["params_sha256"] == hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return card if same else None
