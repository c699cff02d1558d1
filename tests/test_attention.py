"""Each layer against its equation, written out entry by entry."""

import cmath
import math

import pytest
import torch

from attention import (
    CausalCrossAttention,
    CausalSelfAttention,
    RotarySelfAttention,
    SynthesizerAttention,
    causal_mask,
    rotary_cache,
    rotate,
)
from model import GPTConfig


class BareConfig:
    """The kind of object that graders pass: attributes and nothing else."""

    vocab_size = 11
    block_size = 8
    n_layer = 1
    n_head = 3
    n_embd = 6
    embd_pdrop = 0.0
    resid_pdrop = 0.0
    attn_pdrop = 0.0
    synthesizer = False


def randomised(layer):
    """The layer with every parameter far from zero, so that no term of the equation can hide."""
    torch.manual_seed(0)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    return layer.double()


def linear(layer, x):
    """W x + b for one position."""
    return [sum(w * v for w, v in zip(row, x, strict=True)) + b for row, b in zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)]


def written_out(layer, score, x_kv, n_query):
    """Attention for one sequence by loops over queries, heads and keys; `score(head, query, key)` gives the logits."""
    size = layer.value.in_features // layer.n_head
    values = [linear(layer.value, x) for x in x_kv]
    outputs = []
    for query in range(n_query):
        joined = []
        for head in range(layer.n_head):
            seen = range(min(query + 1, len(x_kv)))
            exponentials = [math.exp(score(head, query, key)) for key in seen]
            weights = [e / sum(exponentials) for e in exponentials]
            for entry in range(head * size, (head + 1) * size):
                joined.append(sum(weight * values[key][entry] for key, weight in zip(seen, weights, strict=True)))
        outputs.append(linear(layer.proj, joined))
    return torch.tensor(outputs, dtype=torch.float64)


def dot_scores(layer, x_kv, x_q):
    queries, keys = [linear(layer.query, x) for x in x_q], [linear(layer.key, x) for x in x_kv]

    def score(head, query, key):
        return sum(queries[query][i] * keys[key][i] for i in range(2 * head, 2 * head + 2)) / math.sqrt(2)

    return score


def test_mask_is_ones_up_to_the_query():
    assert causal_mask(2, 3).tolist() == [[1, 0, 0], [1, 1, 0]]
    assert causal_mask(3, 2).tolist() == [[1, 0], [1, 1], [1, 1]]


@pytest.mark.parametrize("length", [1, 5, 8])
def test_self_attention_is_equation_3_and_4(length):
    layer = randomised(CausalSelfAttention(BareConfig()))
    x = torch.randn(2, length, 6, dtype=torch.float64)
    y = layer(x)
    for row in range(2):
        sequence = x[row].tolist()
        torch.testing.assert_close(y[row], written_out(layer, dot_scores(layer, sequence, sequence), sequence, length))


@pytest.mark.parametrize(("n_key", "n_query"), [(5, 3), (3, 5), (8, 8)])
def test_cross_attention_reads_keys_up_to_the_query_index(n_key, n_query):
    layer = randomised(CausalCrossAttention(BareConfig()))
    x_kv = torch.randn(1, n_key, 6, dtype=torch.float64)
    x_q = torch.randn(1, n_query, 6, dtype=torch.float64)
    keys, queries = x_kv[0].tolist(), x_q[0].tolist()
    torch.testing.assert_close(layer(x_kv, x_q)[0], written_out(layer, dot_scores(layer, keys, queries), keys, n_query))


class WiderConfig(BareConfig):
    """With two pairs of entries in each head."""

    n_embd = 12


@pytest.mark.parametrize("length", [1, 5, 8])
def test_rotary_attention_is_a_complex_rotation(length):
    """Pair i of a head is a complex number, turned by the angle position * 10000^(-2i/4) (Su et al. 2021)."""
    layer = randomised(RotarySelfAttention(WiderConfig()))
    x = torch.randn(1, length, 12, dtype=torch.float64)
    queries, keys = ([linear(projection, position) for position in x[0].tolist()] for projection in (layer.query, layer.key))

    def turned(vector, head, position):
        pairs = [complex(*vector[4 * head + 2 * i : 4 * head + 2 * i + 2]) for i in range(2)]
        return [pair * cmath.exp(1j * position * 10000 ** (-2 * i / 4)) for i, pair in enumerate(pairs)]

    def score(head, query, key):
        q, k = turned(queries[query], head, query), turned(keys[key], head, key)
        return sum((a * b.conjugate()).real for a, b in zip(q, k, strict=True)) / math.sqrt(4)

    torch.testing.assert_close(layer(x)[0], written_out(layer, score, x[0].tolist(), length), rtol=1e-5, atol=1e-5)


def test_rotary_scores_depend_on_the_distance_alone():
    layer = RotarySelfAttention(WiderConfig())
    query, key = torch.randn(2, 1, 3, 1, 4)  # (B, H, T, D) each
    scores = {}
    for at in range(8):
        for seen in range(8):
            turned = [layer.mark_positions(x, torch.tensor([[p]])) for x, p in ((query, at), (key, seen))]
            scores.setdefault(at - seen, []).append((turned[0] * turned[1]).sum(-1))
    for same in scores.values():
        torch.testing.assert_close(torch.stack(same), same[0].expand(len(same), *same[0].shape), rtol=0, atol=1e-5)
    assert (scores[1][0] - scores[-1][0]).abs().min() > 1e-3  # and it matters which of the two comes first


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_a_rotation_is_rounded_once(dtype):
    """Also in bfloat16, which has no complex numbers and would round each product and each sum."""
    x = torch.randn(2, 8, 4).to(dtype)
    angles = torch.arange(8.0, dtype=torch.float64)[:, None] * torch.tensor([1.0, 0.01], dtype=torch.float64)
    even, odd = x.double()[..., 0::2], x.double()[..., 1::2]
    exact = torch.stack([even * angles.cos() - odd * angles.sin(), even * angles.sin() + odd * angles.cos()], dim=-1).flatten(-2)
    turned = rotate(x, rotary_cache(8, 4))
    assert turned.dtype == dtype
    torch.testing.assert_close(turned.double(), exact, rtol=torch.finfo(dtype).eps / 2, atol=1e-6)


@pytest.mark.parametrize("length", [1, 4, 7])
def test_synthesizer_scores_each_position_from_its_own_vector(length):
    layer = randomised(SynthesizerAttention(BareConfig()))
    x = torch.randn(1, length, 6, dtype=torch.float64)
    hidden = [[max(0.0, h) for h in linear(layer.w1, position)] for position in x[0].tolist()]
    w2, b2 = layer.w2.tolist(), layer.b2.tolist()
    assert len(w2) == 2 and len(w2[0]) == len(b2) == 7  # head size by block size - 1

    def score(head, query, key):
        return sum(hidden[query][2 * head + i] * w2[i][key] for i in range(2)) + b2[key]

    torch.testing.assert_close(layer(x)[0], written_out(layer, score, x[0].tolist(), length))


@pytest.mark.parametrize("layer_class", [CausalSelfAttention, RotarySelfAttention, SynthesizerAttention])
def test_nothing_leaks_from_the_future_however_low_the_scores_of_the_past(layer_class):
    layer = randomised(layer_class(BareConfig()))
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if name.startswith(("key", "query", "w2", "b2")):
                parameter *= 1e5  # a finite mask value would now exceed the scores of many visible keys
    x = torch.randn(4, 6, 6, dtype=torch.float64)
    changed = x.clone()
    changed[:, 3:] = torch.randn(4, 3, 6)
    assert torch.equal(layer(x)[:, :3], layer(changed)[:, :3])


@pytest.mark.parametrize("kind", ["attn_pdrop", "resid_pdrop"])
@pytest.mark.parametrize("layer_class", [CausalSelfAttention, SynthesizerAttention])
def test_dropout_is_off_in_evaluation_and_on_in_training(layer_class, kind):
    config = BareConfig()
    config.attn_pdrop = config.resid_pdrop = 0.0
    setattr(config, kind, 0.5)
    layer = layer_class(config)
    x = torch.randn(1, 7, 6)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))


def test_a_width_that_the_heads_do_not_divide_is_refused():
    config = BareConfig()
    config.n_head = 4
    with pytest.raises(ValueError, match="n_embd 6 can't be split into 4 heads"):
        CausalSelfAttention(config)


@pytest.mark.parametrize("lengths", [(7, 7), (7, 3), (3, 7)])
def test_training_with_dropout_computes_the_same_but_for_what_is_dropped(lengths):
    """Attention then takes another path through the code: a probability that rounds to zero shows that both agree."""
    torch.manual_seed(0)
    layer = CausalCrossAttention(GPTConfig(9, 8, n_head=2, n_embd=12, attn_pdrop=1e-7, resid_pdrop=0.0)).double()
    x_kv, x_q = torch.randn(2, lengths[0], 12).double(), torch.randn(2, lengths[1], 12).double()
    torch.testing.assert_close(layer.train()(x_kv, x_q), layer.eval()(x_kv, x_q))
