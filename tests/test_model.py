"""The four variants: sizes, names, initial values, and what may depend on what."""

import dataclasses
import math
import re

import pytest
import torch

from attention import SynthesizerAttention
from model import GPT, Block, DownProjectBlock, GPTConfig, UpProjectBlock, variant_flags
from recipes import VARIANTS

FLAGS = {variant: variant_flags(variant, 64) for variant in VARIANTS}


def small(variant, vocab_size=13, block_size=12, **changes):
    """A model of a few thousand parameters, all of them random, without dropout and in double precision."""
    torch.manual_seed(0)
    kwargs = {"n_layer": 3, "n_head": 2, "n_embd": 8, "embd_pdrop": 0.0, "resid_pdrop": 0.0, "attn_pdrop": 0.0}
    kwargs |= FLAGS[variant] | ({"bottleneck_dim": 5} if variant == "perceiver" else {}) | changes
    model = GPT(GPTConfig(vocab_size, block_size, **kwargs)).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


@pytest.fixture(scope="module", params=FLAGS)
def full_size(request):
    torch.manual_seed(0)
    return request.param, GPT(GPTConfig(256, 128, **FLAGS[request.param]))


def block_shapes(prefix, mask, attention):
    """The entries of one block in a state_dict, as the assignment's checkpoints have them."""
    square = {f"{name}.{part}": shape for name in attention for part, shape in (("weight", (256, 256)), ("bias", (256,)))}
    if "w1" in attention:
        square |= {"w2": (32, 127), "b2": (127,)}
    return (
        {f"{prefix}.{name}.{part}": (256,) for name in ("ln1", "ln2") for part in ("weight", "bias")}
        | {f"{prefix}.attn.{name}": shape for name, shape in square.items()}
        | {f"{prefix}.attn.mask": (1, 1, mask, mask)}
        | {f"{prefix}.mlp.0.weight": (1024, 256), f"{prefix}.mlp.0.bias": (1024,)}
        | {f"{prefix}.mlp.2.weight": (256, 1024), f"{prefix}.mlp.2.bias": (256,)}
    )


def test_names_and_shapes_of_the_state_dict(full_size):
    variant, model = full_size
    dots = ("key", "query", "value", "proj")
    expected = {"tok_emb.weight": (256, 256), "head.weight": (256, 256), "ln_f.weight": (256,), "ln_f.bias": (256,)}
    if variant == "rope":
        expected |= {f"blocks.{layer}.attn.rope_cache": (128, 16, 2) for layer in range(4)}
    else:
        expected |= {"pos_emb": (1, 128, 256)}
    if variant == "perceiver":
        expected |= {"down_block.C": (1, 64, 256)}
        expected |= block_shapes("down_block", 128, dots) | block_shapes("up_block", 128, dots)
        expected |= block_shapes("blocks.0", 64, dots) | block_shapes("blocks.1", 64, dots)
    else:
        for layer in range(4):
            expected |= block_shapes(f"blocks.{layer}", 128, ("w1", "value", "proj") if variant == "synthesizer" else dots)
    assert {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()} == expected


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_kind_of_dropout_has_its_own_share(variant):
    model = small(variant, embd_pdrop=0.1, resid_pdrop=0.2, attn_pdrop=0.3)
    shares = {"drop": 0.1, "resid_drop": 0.2, "attn_drop": 0.3, "3": 0.2}  # mlp.3 ends the other residual branch
    found = [(name.split(".")[-1], module.p) for name, module in model.named_modules() if isinstance(module, torch.nn.Dropout)]
    assert len(found) == 1 + 3 * 3 and all(p == shares[name] for name, p in found)


def test_masks_are_lower_triangular(full_size):
    for name, tensor in full_size[1].state_dict().items():
        if name.endswith("mask"):
            rows, columns = torch.meshgrid(torch.arange(tensor.size(2)), torch.arange(tensor.size(3)), indexing="ij")
            assert torch.equal(tensor[0, 0], (columns <= rows).float()), name


def test_printing_order():
    printed = re.findall(r"^  {0,8}\((\w+)\): (\w+)", str(GPT(GPTConfig(256, 128, n_layer=1))), flags=re.MULTILINE)
    assert [name for name, _ in printed] == [
        *("tok_emb", "drop", "blocks", "0", "ln1", "ln2"),
        *("attn", "key", "query", "value", "attn_drop", "resid_drop", "proj"),
        *("mlp", "0", "1", "2", "3", "ln_f", "head"),
    ]
    assert [kind for name, kind in printed if name in "0123"] == ["Block", "Linear", "GELU", "Linear", "Dropout"]


def test_initial_values(full_size):
    for name, tensor in full_size[1].state_dict().items():
        kind = name.split(".")[-1]
        if name == "pos_emb" or kind in ("bias", "b2"):
            assert not tensor.any(), name
        elif ".ln" in name or name.startswith("ln"):
            assert (tensor == 1).all(), name
        elif kind == "C":  # Xavier (Glorot & Bengio 2010, equation 16): uniform within sqrt(6 / (m + width))
            bound = math.sqrt(6 / (64 + 256))
            assert tensor.abs().max() <= bound and tensor.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03)
        elif kind == "w2":
            assert 0.0009 < tensor.abs().max() <= 0.001
        elif kind == "weight":
            assert tensor.std().item() == pytest.approx(0.02, rel=0.03) and abs(tensor.mean()) < 3e-4, name


def influences(model, length):
    """[i][j]: whether the logits at position i depend on the character at j, found by changing each character."""
    torch.manual_seed(1)
    idx = torch.randint(2, 12, (1, length))
    logits, _ = model(idx)
    table = [[False] * length for _ in range(length)]
    for j in range(length):
        changed = idx.clone()
        changed[0, j] = 12
        difference = (model(changed)[0] - logits).abs().amax(dim=-1)[0]
        for i in range(length):
            table[i][j] = bool(difference[i] > 0)
    return table


@pytest.mark.parametrize("variant", ["vanilla", "synthesizer", "rope"])
@pytest.mark.parametrize("length", [1, 6, 11])
def test_each_position_depends_on_all_before_it_and_none_after(variant, length):
    assert influences(small(variant), length) == [[j <= i for j in range(length)] for i in range(length)]


@pytest.mark.parametrize("m", [2, 3, 5, 12])
@pytest.mark.parametrize("length", [4, 12])
def test_perceiver_sees_the_first_m_inputs_and_its_own_position(m, length):
    expected = [[j <= i and (j < m or j == i) for j in range(length)] for i in range(length)]
    assert influences(small("perceiver", bottleneck_dim=m), length) == expected


def test_gradients_agree_that_latents_hide_the_inputs_beyond_them():
    model = small("perceiver", bottleneck_dim=5)
    embedded = []
    model.drop.register_forward_hook(lambda module, inputs, output: embedded.append(output) or output.retain_grad())
    logits, _ = model(torch.arange(2, 12)[None])
    logits[0, 8].sum().backward()
    used = embedded[0].grad[0].abs().sum(dim=-1) > 0
    assert used.tolist() == [True] * 5 + [False] * 3 + [True, False]


def test_perceiver_blocks_normalise_the_learned_queries_and_the_latents():
    model = small("perceiver")
    x = torch.randn(2, 12, 8, dtype=torch.float64)
    down, up = model.down_block, model.up_block
    assert isinstance(down, DownProjectBlock) and isinstance(up, UpProjectBlock) and isinstance(model.blocks[0], Block)

    def ln(layer, t):
        return normalised(t, layer.weight, layer.bias)

    h = down.attn(x, ln(down.ln1, down.C).expand(2, 5, 8))
    y = h + down.mlp(ln(down.ln2, h))
    torch.testing.assert_close(down(x), y)
    h = up.attn(ln(up.ln1, y), x)
    torch.testing.assert_close(up(y, x), h + up.mlp(ln(up.ln2, h)))


def test_loss_is_the_mean_surprise_over_targets_that_are_not_padding():
    model = small("vanilla")
    idx = torch.tensor([[3, 4, 5, 0], [6, 7, 0, 0]])
    targets = torch.tensor([[0, 5, 9, 0], [7, 1, 0, 0]])
    logits, loss = model(idx, targets)
    surprises = []
    for row, column in [(0, 1), (0, 2), (1, 0), (1, 1)]:
        exponentials = [math.exp(v) for v in logits[row, column].tolist()]
        surprises.append(-math.log(exponentials[targets[row, column]] / sum(exponentials)))
    assert loss.item() == pytest.approx(sum(surprises) / 4)
    assert model(idx)[1] is None


@pytest.mark.parametrize(("variant", "longest"), [("vanilla", 12), ("perceiver", 12), ("synthesizer", 11)])
def test_longest_input(variant, longest):
    model = small(variant)
    assert model.get_block_size() == longest
    assert model(torch.full((1, longest), 3))[0].shape == (1, longest, 13)
    with pytest.raises(ValueError, match=f"{longest + 1} characters is longer than the {longest}"):
        model(torch.full((1, longest + 1), 3))


def normalised(x, weight, bias):
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt() * weight + bias


def twin(state, idx, n_head):
    """The logits of any variant from a checkpoint's tensors alone, without a line of the model's code."""
    positions = torch.arange(200)

    def linear(name, x):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def attention(name, x_kv, x_q):
        def heads(x):
            return x.reshape(x.shape[0], x.shape[1], n_head, -1).permute(0, 2, 1, 3)

        T_q, T_k = x_q.shape[1], x_kv.shape[1]
        if f"{name}.w2" in state:
            scores = heads(linear(f"{name}.w1", x_q)).clamp(min=0) @ state[f"{name}.w2"][:, :T_k] + state[f"{name}.b2"][:T_k]
        else:
            q, k = heads(linear(f"{name}.query", x_q)), heads(linear(f"{name}.key", x_kv))
            if f"{name}.rope_cache" in state:  # each pair of neighbours is a complex number, multiplied by one of modulus 1
                turns = torch.view_as_complex(state[f"{name}.rope_cache"])[:T_q]
                q, k = (torch.view_as_real(torch.view_as_complex(z.unflatten(-1, (-1, 2))) * turns).flatten(-2) for z in (q, k))
            scores = torch.einsum("bhqd,bhkd->bhqk", q, k) / q.shape[-1] ** 0.5
        weights = scores.exp() * (positions[:T_k] <= positions[:T_q, None])
        weights = weights / weights.sum(-1, keepdim=True)
        mixed = torch.einsum("bhqk,bhkd->bqhd", weights, heads(linear(f"{name}.value", x_kv)))
        return linear(f"{name}.proj", mixed.reshape(x_q.shape))

    def ln(name, x):
        return normalised(x, state[f"{name}.weight"], state[f"{name}.bias"])

    def mlp(name, x):
        hidden = linear(f"{name}.mlp.0", ln(f"{name}.ln2", x))
        gelu = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))  # Hendrycks & Gimpel 2016, exact
        return x + linear(f"{name}.mlp.2", gelu)

    x = x_input = state["tok_emb.weight"][idx] + (state["pos_emb"][:, : idx.shape[1]] if "pos_emb" in state else 0)
    if "down_block.C" in state:
        latents = ln("down_block.ln1", state["down_block.C"]).repeat(idx.shape[0], 1, 1)
        x = mlp("down_block", attention("down_block.attn", x, latents))
    for layer in range(sum(name.endswith(".ln1.weight") and name.startswith("blocks") for name in state)):
        normal = ln(f"blocks.{layer}.ln1", x)
        x = mlp(f"blocks.{layer}", x + attention(f"blocks.{layer}.attn", normal, normal))
    if "down_block.C" in state:
        x = mlp("up_block", attention("up_block.attn", ln("up_block.ln1", x), x_input))
    return ln("ln_f", x) @ state["head.weight"].T


def test_logits_are_those_of_an_independent_reading_of_the_checkpoint(full_size):
    variant, model = full_size
    torch.manual_seed(0)
    state = {name: tensor.double() for name, tensor in model.state_dict().items()}
    for name, _ in model.named_parameters():
        state[name] += 0.05 * torch.randn(state[name].shape)
    model = GPT(GPTConfig(256, 128, **FLAGS[variant])).double().eval()
    model.load_state_dict(state)
    for T in (127, 40):  # more and fewer than the perceiver has latents
        idx = torch.randint(0, 256, (2, T))
        torch.testing.assert_close(model(idx)[0], twin(state, idx, n_head=8))


class BareConfig:
    """What a grader passes: a class of attributes, without the newer flags."""

    vocab_size, block_size, n_layer, n_head, n_embd = 11, 8, 3, 3, 6
    embd_pdrop = resid_pdrop = attn_pdrop = 0.1


@pytest.mark.parametrize("flags", [{}, {"synthesizer": True}, {"perceiver": True, "bottleneck_dim": 4}])
def test_any_object_with_the_attributes_is_a_config(flags):
    config = type("Config", (BareConfig,), flags)()
    model = GPT(config)
    assert model(torch.zeros(1, 5, dtype=torch.long))[0].shape == (1, 5, 11)
    assert isinstance(Block(config).attn, SynthesizerAttention) == flags.get("synthesizer", False)
    if "perceiver" in flags:
        x = torch.randn(2, 8, 6)
        latents = DownProjectBlock(config)(x)
        assert latents.shape == (2, 4, 6) and UpProjectBlock(config)(latents, x).shape == x.shape
        assert model.blocks[0].attn.mask.shape == (1, 1, 4, 4) and model.down_block.attn.mask.shape == (1, 1, 8, 8)


def test_config_is_frozen_and_refuses_what_cannot_be_built():
    config = GPTConfig(256, 128)
    assert (config.embd_pdrop, config.resid_pdrop, config.attn_pdrop) == (0.1, 0.1, 0.1)
    assert (config.perceiver, config.bottleneck_dim, config.synthesizer) == (False, None, False)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.block_size = 64
    with pytest.raises(TypeError):
        GPTConfig(256, 128, n_heads=4)
    for flags in ({"perceiver": True, "bottleneck_dim": 8, "synthesizer": True}, {"synthesizer": True, "rope": True}):
        with pytest.raises(ValueError, match="not several at once"):
            GPTConfig(256, 128, **flags)
    with pytest.raises(ValueError, match="must be even"):
        GPTConfig(256, 128, n_embd=24, n_head=8, rope=True)
    for bottleneck_dim in (None, 0, 129):
        with pytest.raises(ValueError, match="between 1 and the block size 128"):
            GPTConfig(256, 128, perceiver=True, bottleneck_dim=bottleneck_dim)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_model_all_in_bfloat16_runs_too(variant):
    torch.manual_seed(0)
    model = GPT(GPTConfig(9, 24, n_layer=3, n_head=2, n_embd=16, **variant_flags(variant, 8))).eval()
    idx = torch.randint(0, 9, (2, 20))
    expected = model(idx)[0]
    logits = model.bfloat16()(idx)[0]
    assert logits.dtype == torch.bfloat16
    torch.testing.assert_close(logits.float(), expected, atol=0.02, rtol=0.05)
