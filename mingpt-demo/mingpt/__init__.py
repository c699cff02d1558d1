"""A GPT in three short files that need PyTorch alone: the text, the model, the training."""

from .model import GPT, Shape
from .text import Text
from .trainer import train

__all__ = ["GPT", "Shape", "Text", "train"]
