"""A text as numbers: each character by its place among the text's own, sorted."""

import torch
from torch import Tensor


class Text:
    """Cuts random pieces out of a text to learn from."""

    def __init__(self, text: str, length: int) -> None:
        if len(text) <= length:
            raise ValueError(f"a text of {len(text)} characters is too short for pieces of {length}")
        self.characters = sorted(set(text))
        self.index = {character: index for index, character in enumerate(self.characters)}
        self.codes = self.encode(text)
        self.length = length

    def encode(self, text: str) -> Tensor:
        """(len(text),) of indices. Raises KeyError for a character that the text lacks."""
        return torch.tensor([self.index[character] for character in text])

    def decode(self, codes: Tensor) -> str:
        """The text of indices (T,)."""
        return "".join(self.characters[code] for code in codes.tolist())

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """Pieces x (size, length), and y, what follows each of their characters."""
        starts = torch.randint(len(self.codes) - self.length, (size, 1))  # (B, 1)
        pieces = self.codes[starts + torch.arange(self.length + 1)]  # (B, length + 1)
        return pieces[:, :-1], pieces[:, 1:]
