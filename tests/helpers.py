"""What several tests use."""

import torch
from torch.utils.data import Dataset

from model import GPT, VARIANTS, GPTConfig, variant_flags

FLAGS = {variant: variant_flags(variant, 6) for variant in VARIANTS}


def sharp_model(variant, block_size=24):
    """A small random model whose likeliest characters vary and are no near ties."""
    torch.manual_seed(0)
    model = GPT(GPTConfig(9, block_size, n_layer=3, n_head=2, n_embd=16, **FLAGS[variant]))
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.6)
    return model.eval()


class OneByOne(Dataset):
    """A dataset that makes its examples one by one, as any that is not the project's."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        return self.dataset[index]
