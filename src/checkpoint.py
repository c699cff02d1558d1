"""Parameters on disk: a plain `torch.save` of the state_dict, as thousands of runs of the assignment wrote it.

Beside `x.params` lies `x.params.json`, a card that says where the parameters come from. It makes errors clearer and
is never needed; a card whose file was replaced since is not believed.
"""

from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from files import UserError, read_card, written_whole

RECIPE_SIZES = ("width", "blocks", "block size", "heads")


def save_params(model: nn.Module, path: str | Path) -> None:
    """Write the model's state_dict, its tensors on the CPU; all of it or nothing."""
    content = BytesIO()
    torch.save({name: tensor.cpu() for name, tensor in model.state_dict().items()}, content)
    with written_whole(path) as temporary:
        temporary.write_bytes(content.getbuffer())


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

    card = read_card(path)
    wanted = model.state_dict()
    found, asked = describe(state), describe(wanted)
    found["heads"] = card.get("recipe", {}).get("n_head", model.config.n_head)
    asked["heads"] = model.config.n_head
    for what, value in found.items():
        if value != asked[what]:
            cure = "give the --recipe that it was trained with" if what in RECIPE_SIZES else "mend the command, or give other parameters"
            raise UserError(f"{path} has {what} {value}, the command asks for {asked[what]}: {cure}")
    if vocabulary is not None and card.get("vocabulary_sha256", vocabulary) != vocabulary:
        raise UserError(f"{path} was trained with other characters than this corpus has: give the corpus {card.get('corpus')}")
    odd = sorted(wanted.keys() ^ state.keys()) or sorted(name for name in wanted if wanted[name].shape != state[name].shape)
    if odd:
        raise UserError(f"{path} does not fit the model: see {', '.join(odd[:3])}{' and others' if len(odd) > 3 else ''}")
    model.load_state_dict(state)


def describe(state: dict[str, Tensor]) -> dict[str, Any]:
    """What the names and shapes of a state_dict say of its model."""

    def size(name: str, axis: int) -> int | None:
        return state[name].size(axis) if name in state and state[name].dim() > axis else None

    variant = "none known" if "tok_emb.weight" not in state else "vanilla"
    if "down_block.C" in state:
        variant = "perceiver"
    elif "blocks.0.attn.w1.weight" in state:
        variant = "synthesizer"
    elif "blocks.0.attn.rope_cache" in state:
        variant = "rope"
    return {
        "variant": variant,
        "bottleneck_dim": size("down_block.C", 1),
        "vocabulary size": size("tok_emb.weight", 0),
        "width": size("tok_emb.weight", 1),
        "blocks": len({name.split(".")[1] for name in state if name.startswith("blocks.")}),
        "block size": size("blocks.0.attn.rope_cache", 0) if variant == "rope" else size("pos_emb", 1),
    }
