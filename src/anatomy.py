"""Whether a model is as model.py has it, or has been changed: what repeats its equations for speed must know."""

from functools import cache

import torch
from torch import nn

from attention import CausalCrossAttention, CausalSelfAttention, RotarySelfAttention, SynthesizerAttention
from dropout import Dropout
from model import GPT, Block, DownProjectBlock, GPTConfig, UpProjectBlock

CLASSES = {GPT, Block, DownProjectBlock, UpProjectBlock, CausalCrossAttention, CausalSelfAttention, RotarySelfAttention}
CLASSES |= {SynthesizerAttention, Dropout, nn.Embedding, nn.LayerNorm, nn.Linear, nn.GELU, nn.Sequential}


def computes_as_written(model: nn.Module) -> bool:
    """Whether a model computes what model.py says: it has the parts that its config asks for, each once, of these classes, without hooks.

    If not, what repeats these equations for speed (decoding.py, packing.py) would miss what that does, and what computes
    several parts of a batch at a time (acceleration.py) might mix up what modules keep between calls.
    """
    modules = list(model.modules())
    changed = any(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module) for module in modules)
    known = {type(module) for module in modules} <= CLASSES
    return known and not changed and type(model) is GPT and anatomy(model) == anatomy_of(model.config)


def anatomy(model: GPT) -> tuple[dict[str, type], dict[str, torch.Size]]:
    """The classes of a model's modules, each by its first name, and the shapes of its tensors."""
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    return {name: type(module) for name, module in model.named_modules()}, shapes


@cache
def anatomy_of(config: GPTConfig) -> tuple[dict[str, type], dict[str, torch.Size]]:
    """The same for the model that a config asks for."""
    with torch.device("meta"):  # neither memory nor random numbers are used
        return anatomy(GPT(config))
