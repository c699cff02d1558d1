"""Parameters on disk: a plain `torch.save` of the state_dict, as written by thousands of runs of the assignment.

Beside `x.params` lies `x.params.json`, a card that says where the parameters come from. It makes errors clearer but
is never required; a card whose file has been replaced since is ignored.
"""

import pickletools
import re
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

from cards import n_head_of, read_card
from console import UserError
from files import reading, written_whole
from model import GPT, GPTConfig, variant_flags

DAMAGED = "is not a file of parameters, or is damaged: train it again"
CHECKPOINT = "is a run's checkpoint: give the parameters beside it; if there are none yet, --resume the run to its end"
SPARE = 64 * 10**6  # bytes read beyond the model's own size, so that a model of another recipe gets the clearer error
LARGEST = 128 * 10**6  # bytes of parameters, when the model is not known beforehand
LONGEST_BLOCK = 4096  # so that a forged file can't ask for gigantic masks
NAMES_OF_TENSORS = re.compile(r"collections OrderedDict|torch\._utils _rebuild_(tensor_v2|parameter)|torch \w+Storage")  # in pickles
RECIPE_SIZES = ("width", "blocks", "block size", "heads")
VANILLA = {"tok_emb", "pos_emb", "blocks", "ln_f", "head"}  # its parts


def save_params(model: nn.Module, path: str | Path) -> None:
    """Write the model's state_dict atomically, with its tensors on the CPU."""
    content = BytesIO()  # torch.save reports a full disk in its own way, and writes the file's name into it
    torch.save({name: tensor.cpu() for name, tensor in model.state_dict().items()}, content)
    with written_whole(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load_params(model: nn.Module, path: str | Path, vocabulary: str | None = None) -> None:
    """Load parameters into a model on any device. Nothing but tensors is unpickled.

    `vocabulary` is the hash of the corpus's vocabulary, to compare with the card's. Raises UserError if the file can't
    be read, or its variant, size or vocabulary is not the model's.
    """
    wanted = model.state_dict()
    state = read_state(Path(path), 2 * sum(tensor.nbytes for tensor in wanted.values()) + SPARE)  # twice: the file's may be doubles
    card = read_card(path)
    found, asked = describe(state), describe(wanted)
    found["heads"] = n_head_of(card) or model.config.n_head
    asked["heads"] = model.config.n_head
    for what, value in found.items():
        if value not in (None, asked[what]):  # what the file does not tell is left to its tensors' names
            cure = "give the --recipe that it was trained with" if what in RECIPE_SIZES else "fix the command, or give other parameters"
            raise UserError(f"{path} has {what} {value}, but the command asks for {asked[what]}: {cure}")
    check_vocabulary(path, card, vocabulary)
    fill(model, state, path)


def load_model(path: str | Path, vocabulary: str | None = None) -> GPT:
    """The model that a file of parameters holds, whatever its variant and size. Raises UserError as `load_params` does.

    Without a card that gives their number, its heads are taken to be 32 wide, as in every recipe.
    """
    state, card = read_state(Path(path), LARGEST), read_card(path)
    found = describe(state)
    n_characters, width, block_size = found["vocabulary size"], found["width"], found["block size"]
    n_head = n_head_of(card) or max(1, (width or 0) // 32)
    n_layer = found["blocks"] + 2 * (found["variant"] == "perceiver")  # its first and last blocks have other names
    whole = all(tensor.untyped_storage().nbytes() >= tensor.nbytes for tensor in state.values())  # one number may pose as a billion
    if not (whole and n_characters and width and block_size and n_layer) or block_size > LONGEST_BLOCK or width % n_head:
        raise UserError(f"{path} holds no model of this project's kind")
    flags = variant_flags(found["variant"] or "vanilla", found["bottleneck_dim"])  # of another kind, `fill` names the tensors
    model = GPT(GPTConfig(n_characters, block_size, n_layer=n_layer, n_head=n_head, n_embd=width, **flags))
    check_vocabulary(path, card, vocabulary)
    fill(model, state, path)
    return model


def check_vocabulary(path: str | Path, card: dict[str, Any], vocabulary: str | None) -> None:
    """Raise UserError if the card names a vocabulary other than the one with this hash."""
    if vocabulary is not None and card.get("vocabulary_sha256", vocabulary) != vocabulary:
        raise UserError(f"{path} was trained with other characters than this corpus has: give the corpus {card.get('corpus')}")


def fill(model: nn.Module, state: dict[str, Tensor], path: str | Path) -> None:
    """Put tensors from the file at `path` into a model. Raises UserError if they do not fit it, or are not finite."""
    wanted = model.state_dict()
    odd = sorted(wanted.keys() ^ state.keys()) or sorted(name for name in wanted if wanted[name].shape != state[name].shape)
    if odd:
        raise UserError(f"{path} does not fit the model: see {', '.join(odd[:3])}{' and others' if len(odd) > 3 else ''}")
    bad = [name for name, tensor in state.items() if not tensor.isfinite().all()]
    if bad:
        raise UserError(f"{path} holds infinite or NaN values in {', '.join(bad[:3])}: give parameters of a run that went well")
    model.load_state_dict(state)


def load_plain(content: BytesIO) -> Any:
    """The tensors and plain values that `torch.save` wrote. Raises some exception if it is damaged, or names anything else.

    `weights_only` runs none of a stranger's code, but allows a call that no state_dict needs: bytearray, with which a few
    bytes can claim all the memory there is.
    """
    if content.getbuffer()[:4] == b"PK\3\4":  # how torch.load tells its zips from what older versions wrote
        with zipfile.ZipFile(content) as archive:
            if damaged := archive.testzip():  # torch.load does not verify the checksums
                raise ValueError(f"{damaged} is damaged")
            pickles = [BytesIO(archive.read(name)) for name in archive.namelist() if name.lower().endswith(".pkl")]
    else:
        content.seek(0)
        pickles = [content] * 5  # one after another, before the numbers
    for pickle in pickles:
        for opcode, name, _ in pickletools.genops(pickle):
            if opcode.name == "GLOBAL" and not NAMES_OF_TENSORS.fullmatch(name):
                raise ValueError(f"it names {name}")
    content.seek(0)
    return torch.load(content, map_location="cpu", weights_only=True)


def unpacked_size(file: BinaryIO) -> int:
    """The unpacked size in bytes of a file of torch.save, which writes uncompressed zips; 0 for a file of another kind.

    Raises some exception if the zip is damaged.
    """
    if not zipfile.is_zipfile(file):
        return 0
    with zipfile.ZipFile(file) as archive:
        return sum(entry.file_size for entry in archive.infolist())


def read_plain(path: Path, largest: int) -> Any:
    """The tensors and plain values in a file. Raises UserError if it can't be read, or holds more than `largest` bytes."""
    try:
        with reading(path), path.open("rb") as file:
            size = max(path.stat().st_size, unpacked_size(file))
            if size > largest:
                raise UserError(f"{path} unpacks to {size / 1e6:.1f} MB, far more than the model has: not read")
            file.seek(0)
            content = BytesIO(file.read())
        return load_plain(content)
    except UserError:
        raise
    except Exception:  # what a damaged or foreign file raises is anybody's guess
        raise UserError(f"{path} {CHECKPOINT if path.suffix in ('.checkpoint', '.previous') else DAMAGED}") from None


def read_state(path: Path, largest: int) -> dict[str, Tensor]:
    """The tensors in a file, by name. Raises UserError as `read_plain` does, or if it holds anything else."""
    state = read_plain(path, largest)
    if not isinstance(state, dict):
        raise UserError(f"{path} holds a {type(state).__name__}, not a model's parameters by name")
    for name, tensor in state.items():
        plain = isinstance(tensor, Tensor) and tensor.layout == torch.strided and tensor.device.type == "cpu"
        if not isinstance(name, str) or not plain or not (tensor.is_floating_point() or name.endswith("mask")):
            kind = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
            raise UserError(f"{path} holds something other than floating-point numbers: {str(name)[:80]!r} is {kind}")
    return state


def describe(state: dict[str, Tensor]) -> dict[str, Any]:
    """What the names and shapes in a state_dict tell about its model; the variant is None if it is of a kind that is not known here."""

    def size(name: str, axis: int) -> int | None:
        return state[name].size(axis) if name in state and state[name].dim() >= 2 else None

    signs = {"down_block.C": "perceiver", "blocks.0.attn.w1.weight": "synthesizer", "blocks.0.attn.rope_cache": "rope"}
    needed = {"tok_emb.weight", "pos_emb", "blocks.0.attn.query.weight", "blocks.0.attn.key.weight"}
    is_vanilla = needed <= state.keys() and {name.split(".")[0] for name in state} <= VANILLA  # not a variant with names of its own
    variant = next((variant for name, variant in signs.items() if name in state), "vanilla" if is_vanilla else None)
    return {
        "variant": variant,
        "bottleneck_dim": size("down_block.C", -2),  # somebody's may lack the leading 1
        "vocabulary size": size("tok_emb.weight", 0),
        "width": size("tok_emb.weight", 1),
        "blocks": len({name.split(".")[1] for name in state if name.startswith("blocks.")}),
        "block size": size("blocks.0.attn.rope_cache", 0) if variant == "rope" else size("pos_emb", -2),
    }
