"""Cached decoding gives the same as full forward passes."""

import pytest
import torch

from anatomy import anatomy_of
from attention import CausalSelfAttention
from dataset import CharCorruptionDataset, NameDataset, encode
from decoding import Decoder, answer, likeliest_answers
from helpers import FLAGS, sharp_model
from model import GPT, Block, GPTConfig
from plain import plain_answers
from trainer import Trainer, TrainerConfig


@pytest.mark.parametrize("variant", FLAGS)
def test_answers_in_a_batch_equal_those_one_by_one(variant):
    model = sharp_model(variant, block_size=26)
    torch.manual_seed(1)
    prompts = [torch.randint(2, 9, (length,)).tolist() for length in (1, 3, 9, 4, 14, 5, 9, 13)]
    lengths = set()
    for end in range(9):
        expected = plain_answers(model, prompts, 10, end)
        assert answer(model.train(), prompts, steps=10, end=end) == expected  # dropout is off all the same
        lengths |= {len(a) for a in expected}
    assert len(lengths) > 3  # some answers end early, or the test would show little


@pytest.mark.parametrize("variant", FLAGS)
def test_answers_of_a_trained_model_too(variant):
    people = [f"{name} {n}" for name in ("Ada", "Bo", "Christopher") for n in "abcdefgh"]
    towns = ["Lima", "Rome", "Saint Paul"]
    rows = [f"Where was {person} born?\t{towns[len(person + person[-1]) % 3]}" for person in people]
    corpus = CharCorruptionDataset("\n".join(rows).replace("\t", " "), 48)
    torch.manual_seed(0)
    kwargs = FLAGS[variant] | ({"bottleneck_dim": 46} if variant == "perceiver" else {})  # enough to read the names
    model = GPT(GPTConfig(corpus.vocab_size, 48, n_layer=3, n_head=2, n_embd=32, **kwargs))
    # by AdamW alone, the perceiver might not begin in this time, on some machines
    config = TrainerConfig(max_epochs=80, batch_size=8, learning_rate=5e-3, muon_lr=0.02, device="cpu")
    Trainer(model, NameDataset(corpus, "\n".join(rows)), None, config).train()
    prompts = [encode(row.split("\t")[0] + corpus.MASK_CHAR, corpus.stoi).tolist() for row in rows]
    expected = plain_answers(model, prompts, 12, end=1)
    assert answer(model, prompts, 12, end=1) == expected
    assert len(set(map(tuple, expected))) > 1  # it has learnt to answer


@pytest.mark.parametrize("variant", FLAGS)
def test_positions_may_come_one_by_one_or_many_at_once(variant):
    model = sharp_model(variant).double()
    torch.manual_seed(1)
    idx = torch.randint(0, 9, (3, 20))
    expected = model(idx)[0]
    for pieces in ([20], [1] * 20, [4, 1, 7, 8]):
        decoder, first, found = Decoder(model, 3, 20), 0, []
        for length in pieces:
            piece, at = idx[:, first : first + length], torch.arange(first, first + length).expand(3, -1)
            found += [decoder.forward(piece, at, column) for column in range(length)]
            first += length
        torch.testing.assert_close(torch.stack(found, dim=1), expected)


def other_forward(model):
    """Doubles what an attention layer adds, as a subclass might."""
    layer = model.blocks[0].attn
    layer.__class__ = type("Doubled", (type(layer),), {"forward": lambda self, x: 2 * super(type(self), self).forward(x)})


def hook(model):
    """Leaves out a block's attention, as a researcher might."""
    model.blocks[-1].attn.register_forward_hook(lambda layer, given, output: torch.zeros_like(output))


def pre_hook(model):
    """Changes what a layer reads."""
    model.blocks[-1].attn.register_forward_pre_hook(lambda layer, given: tuple(-x for x in given))


def own_forward(model):
    """Replaces the forward of one layer alone."""
    theirs = model.blocks[0].attn.forward
    model.blocks[0].attn.forward = lambda x: 2 * theirs(x)


def other_part(model):
    """Has something else in a layer's place."""
    model.blocks[0].mlp[1] = torch.nn.Tanh()
    model.drop = torch.nn.Hardtanh(-0.5, 0.5)


def shared_block(model):
    """Passes through the same block again and again (as in ALBERT)."""
    model.blocks = torch.nn.Sequential(*[model.blocks[0]] * 3)


def no_attention(model):
    """Has a linear layer in attention's place, and an attention without biases."""
    width = model.config.n_embd
    model.blocks[-1].attn = torch.nn.Linear(width, width)
    torch.nn.init.normal_(model.blocks[-1].attn.weight)
    first = (model.down_block if model.config.perceiver else model.blocks[0]).attn
    first.value = torch.nn.Linear(width, width, bias=False)


@pytest.mark.parametrize("change", [other_forward, own_forward, hook, pre_hook, other_part, shared_block, no_attention])
@pytest.mark.parametrize("variant", FLAGS)
def test_models_that_compute_in_another_way_are_decoded_as_they_compute(variant, change):
    model, prompts = sharp_model(variant), [[2, 3], [4, 5, 6, 7, 8], [8]]
    ordinary = plain_answers(model, prompts, 15, end=0)
    change(model)
    expected = plain_answers(model, prompts, 15, end=0)
    assert answer(model, prompts, 15, end=0) == expected != ordinary
    for prompt, found in zip(prompts, likeliest_answers(model, prompts, 4, end=0, width=5, least=-1000), strict=True):
        assert found
        for said, score in found:
            text = torch.tensor([[*prompt, *said, 0]])
            of_next = model(text[:, :-1])[0].log_softmax(dim=-1).gather(2, text[:, 1:, None])[0, len(prompt) - 1 :]
            assert score == pytest.approx(of_next.sum().item(), rel=1e-4)


def test_so_is_a_variant_of_ones_own_as_the_readme_adds_it(monkeypatch):
    class Doubled(CausalSelfAttention):
        def forward(self, x):
            return 2 * super().forward(x)

    prompts = [[2, 3], [4, 5, 6, 7, 8], [8]]
    ordinary = plain_answers(sharp_model("vanilla", block_size=23), prompts, 15, end=0)
    monkeypatch.setattr(Block, "choose_attention", lambda self, config: Doubled)
    anatomy_of.cache_clear()
    try:
        model = sharp_model("vanilla", block_size=23)
        assert isinstance(model.blocks[0].attn, Doubled)
        assert answer(model, prompts, 15, end=0) == plain_answers(model, prompts, 15, end=0) != ordinary
    finally:
        anatomy_of.cache_clear()  # of what this variant made of it


def test_nothing_is_computed_once_all_answers_have_ended(monkeypatch):
    model, prompts = sharp_model("vanilla"), [[2, 3], [4, 5, 6]]
    longest, end = min((max(map(len, plain_answers(model, prompts, 20, end))), end) for end in range(9))
    read, forward = [], Decoder.forward
    monkeypatch.setattr(Decoder, "forward", lambda *given: read.append(given) or forward(*given))
    answer(model, prompts, 20, end)
    assert longest < 10 and len(read) == 1 + longest  # the prompts, then each character of the longest answer


def test_answers_stop_at_the_end_of_the_block():
    model = sharp_model("vanilla", block_size=8)
    assert [len(a) for a in answer(model, [[2] * 5, [2] * 7], steps=32, end=-1)] == [3, 1]
