"""Batches made at once are those made one by one, and their parts together are the batch."""

import collections
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils.data import ConcatDataset, Dataset, default_collate

from acceleration import GROUP, Gradients, RecordedGradients, ThreadedGradients, make_gradients
from batches import CPU_SHAPES, Batches, CutBatches, Part, Shapes, corrupt_codes, make_batches, pack, unpack
from dataset import CharCorruptionDataset, Cuts, NameDataset, corrupt, encode
from helpers import OneByOne
from model import GPT, GPTConfig, variant_flags
from packing import LowCopy, PackedCopy, make_copy
from recipes import VARIANTS
from utils import derive_seed, set_seed

CPU = torch.device("cpu")
TEXT = st.text("abc é", max_size=30)
FLAGS = {variant: variant_flags(variant, 40) for variant in VARIANTS}


def spell(dataset, codes):
    return "".join(dataset.itos[code] for code in codes.tolist())


def spell_pair(dataset, x, y):
    """Inputs and targets up to the last target."""
    targets = spell(dataset, y).rstrip("□")
    return spell(dataset, x)[: len(targets)], targets


# ---------------------------------------------------------------- cutting


@settings(deadline=None)
@given(st.data())
def test_cutting_a_batch_of_codes_is_cutting_each_document(data):
    documents = data.draw(st.lists(TEXT, min_size=1, max_size=4).filter(any))
    dataset = CharCorruptionDataset("\n".join(documents), 40)
    cuts, offset = [], data.draw(st.integers(0, 3))
    for document in documents:
        length = data.draw(st.integers(0, len(document)))
        span = data.draw(st.integers(0, length))
        cuts.append((length, data.draw(st.integers(0, length - span)), span))
    begins, _ = dataset.text.spans(torch.arange(len(documents)))
    columns = [begins, *map(torch.tensor, zip(*cuts, strict=True)), torch.zeros_like(begins), torch.full_like(begins, offset)]
    x, y = corrupt_codes(dataset.codes, Cuts(*columns), width=35)
    for row, (document, cut) in enumerate(zip(documents, cuts, strict=True)):
        block = corrupt(document, *cut).ljust(36, "□")
        # what comes before the document is nothing to be learnt
        inputs, targets = "□" * offset + block[:-1], "□" * offset + block[1:]
        assert (spell(dataset, x[row]), spell(dataset, y[row])) == (inputs[:35], targets[:35])


@pytest.mark.parametrize("whole", [False, True])
def test_questions_come_out_as_the_dataset_has_them(whole):
    corpus = CharCorruptionDataset("Where was Zoë born?\nÅrhus Al Lima", 32)
    names = NameDataset(corpus, "Where was Zoë born?\tLima\nWhere was Al born?\tÅrhus\nA?\tAl", whole)
    x, y = corrupt_codes(names.codes, names.cuts(torch.tensor([2, 0, 1])), 31)
    for row, index in enumerate((2, 0, 1)):
        assert torch.equal(x[row], names[index][0]) and torch.equal(y[row], names[index][1])


@pytest.mark.parametrize(("offset", "salient_share"), [(0, 0.0), (2, 0.0), (0, 0.4)])
def test_free_cuts_are_distributed_as_the_dataset_s(offset, salient_share):
    first = "ab. d Fg H" if salient_share else "abcdefghij"
    dataset = CharCorruptionDataset(f"{first}\nklmnop\nqr", 12, 2, offset, salient_share)
    epochs = 4000
    at_once, one_by_one = collections.Counter(), collections.Counter()
    for batch in make_batches(dataset, 3, epochs, seed=0, ignored=0, shapes=CPU_SHAPES, device=CPU).load(0, 0, False):
        at_once.update(spell_pair(dataset, x, y) for part in batch.parts for x, y in zip(*part[:2], strict=True))
    torch.manual_seed(0)
    for _ in range(epochs):
        examples = [dataset[index] for index in range(3)]
        one_by_one.update(spell_pair(dataset, x, y) for x, y in examples)
    assert len(at_once) > (60 if salient_share else 80) and at_once.keys() == one_by_one.keys()
    for string in at_once:  # two counts of the same mean n differ by sqrt(2 n) at one standard deviation
        assert abs(at_once[string] - one_by_one[string]) < 5 * (at_once[string] + one_by_one[string]) ** 0.5, string


# ---------------------------------------------------------------- parts

LINES = [f"Person {i} was born in town {i * i % 17}" + ", and lives there still" * (i % 3) + "." for i in range(40)]
CORPUS = CharCorruptionDataset("\n".join(LINES), 100, offset=1)
NAMES = NameDataset(CORPUS, "\n".join(f"Person {i} and\ttown {i}" for i in range(5, 15)))


def split_batches(kind, shapes, dataset=None):
    dataset = dataset or ConcatDataset([CORPUS, NAMES])
    if kind == "at once":
        datasets = dataset.datasets if isinstance(dataset, ConcatDataset) else [dataset]
        return CutBatches(datasets, 32, 3, 0, shapes, CPU)
    return Batches(OneByOne(dataset), 32, 3, 0, shapes, ignored=0)


def padded(kind, step):
    """The same batch in one part, with all its padding, from the datasets' own definitions."""
    if kind == "one by one":
        batches = split_batches(kind, Shapes(1, 1))
        torch.manual_seed(derive_seed(0, "batch", step))
        x, y = default_collate([batches.dataset[index] for index in batches.chosen(step).tolist()])
    else:
        blocks = []
        batches, generator = split_batches(kind, Shapes(1, 1)), torch.Generator().manual_seed(derive_seed(0, "batch", step))
        chosen = batches.chosen(step)
        for document, length, start, span in cuts_of(CORPUS, chosen[chosen < len(CORPUS)], generator):
            block = encode(f"□{corrupt(document, length, start, span)}".ljust(100, "□"), CORPUS.stoi)
            blocks.append((block[:-1], torch.cat((torch.zeros(1, dtype=torch.int64), block[2:]))))
        blocks += [NAMES[index] for index in (chosen[chosen >= len(CORPUS)] - len(CORPUS)).tolist()]
        x, y = default_collate(blocks)
    return Part(x, y, 1.0)


def cuts_of(corpus, indices, generator):
    """The documents with the cuts that the generator draws for them."""
    cuts = corpus.cuts(indices, generator)
    columns = (column.tolist() for column in (cuts.length, cuts.start, cuts.span))
    return zip([corpus.data[index] for index in indices.tolist()], *columns, strict=True)


def strings(parts):
    """Inputs and targets of all rows up to the last target."""
    return [spell_pair(CORPUS, x, y) for part in parts for x, y in zip(*part[:2], strict=True)]


@pytest.mark.parametrize("kind", ["at once", "one by one"])
@pytest.mark.parametrize("shapes", [Shapes(200, 1), Shapes(300, 16), Shapes(10**9, 1), Shapes(1, 1)])
def test_the_parts_hold_all_targets_of_the_batch_and_little_padding(kind, shapes):
    batches = split_batches(kind, shapes)
    assert (len(batches), batches.n_examples) == (6, 51 - 1)
    for step, n_examples in enumerate((32, 18) * 3):
        parts, n, n_tokens = batches[step]
        assert n == n_examples == sum(len(part.x) for part in parts) and n_tokens == n * 99
        total = sum(int((part.y != 0).sum()) for part in parts)
        assert sorted(strings(parts)) == sorted(strings([padded(kind, step)]))
        for x, y, share, *_ in parts:
            assert x.dtype == y.dtype == torch.int64 and x.shape == y.shape and x.size(1) <= 99
            assert x.size(1) % shapes.multiple == 0 or x.size(1) == 99
            assert torch.equal(x[:, 1:][y[:, :-1] != 0], y[:, :-1][y[:, :-1] != 0])
            assert share == pytest.approx(int((y != 0).sum()) / total)
            width = int((y != 0).nonzero()[:, 1].max()) + 1
            assert width <= x.size(1) < width + shapes.multiple
        if shapes == Shapes(200, 1):
            assert total / sum(part.y.numel() for part in parts) > 0.7  # of the full block it is below a half
            assert total / n_tokens < 0.5


@pytest.mark.parametrize("kind", ["at once", "one by one"])
@pytest.mark.parametrize("variant", FLAGS)
@pytest.mark.parametrize("part_targets", [200, 20])
def test_the_parts_gradients_add_up_to_that_of_the_padded_batch(kind, variant, part_targets):
    torch.manual_seed(0)
    model = GPT(GPTConfig(CORPUS.vocab_size, 100, n_layer=2, n_head=2, n_embd=16, **FLAGS[variant])).double().eval()
    batch = split_batches(kind, Shapes(part_targets, 1))[0]
    assert len({part.x.size(1) for part in batch.parts}) > 3
    assert len(batch.parts) > GROUP or part_targets == 200

    model.zero_grad()
    x, y, *_ = padded(kind, 0)
    assert x.shape == y.shape == (32, 99)
    expected_loss = model(x, y)[1]
    expected_loss.backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]

    n_threads = torch.get_num_threads()
    ways = [Gradients(model), ThreadedGradients(model)]
    if not torch.cuda.is_available():
        ways.append(RecordedGradients(model))  # which gives up recording
    for gradients in ways:
        loss = gradients.compute(batch.parts)
        torch.testing.assert_close(loss, expected_loss.detach())
        for parameter, gradient in zip(model.parameters(), expected, strict=True):
            torch.testing.assert_close(parameter.grad, gradient)
    with ThreadPoolExecutor(1) as elsewhere:
        assert torch.get_num_threads() == elsewhere.submit(torch.get_num_threads).result() == n_threads


def gradients_of(way, parts):
    """What that way gives the parameters."""
    way.compute(parts)
    return [parameter.grad.clone() for parameter in way.parameters]


def assert_near(found, expected, tolerance):
    """Each gradient differs by a small share of itself; some are zero but for rounding, such as that of the keys' bias."""
    rounding = 0.01 * tolerance * torch.stack([gradient.norm() for gradient in expected]).norm()
    for a, b in zip(found, expected, strict=True):
        assert (a - b).norm() <= tolerance * b.norm() + rounding


@pytest.mark.parametrize("variant", FLAGS)
def test_in_bfloat16_the_gradients_are_nearly_the_same(variant):
    torch.manual_seed(0)
    model = GPT(GPTConfig(CORPUS.vocab_size, 100, n_layer=2, n_head=2, n_embd=64, **FLAGS[variant])).eval()
    parts = split_batches("at once", Shapes(200, 1))[0].parts
    exact, rough = gradients_of(Gradients(model), parts), gradients_of(ThreadedGradients(model, bf16=True), parts)
    assert {gradient.dtype for gradient in rough} == {torch.float32}
    assert_near(rough, exact, 0.05)
    with pytest.raises(AssertionError):
        assert_near(rough, exact, 1e-4)  # it is not float32 after all


@pytest.mark.parametrize("variant", FLAGS)
def test_in_bfloat16_the_gradients_are_those_of_the_model_as_it_has_become(variant):
    torch.manual_seed(0)
    model = GPT(GPTConfig(CORPUS.vocab_size, 100, n_layer=2, n_head=2, n_embd=64, **FLAGS[variant]))  # drops
    model.head.weight = model.tok_emb.weight
    model.ln_f.requires_grad_(False)
    parts = split_batches("at once", Shapes(200, 1))[0].parts
    threaded = ThreadedGradients(model, bf16=True)
    for _ in range(2):
        gradients_of(threaded, parts)
        with torch.no_grad():
            torch._foreach_mul_(list(model.parameters()), 1.5)
    model.eval()
    exact, rough = gradients_of(Gradients(model), parts), gradients_of(threaded, parts)
    assert_near(rough, exact, 0.05)
    assert model.ln_f.weight.grad is None and {parameter.dtype for parameter in model.parameters()} == {torch.float32}


COPIES = [*((variant, False) for variant in FLAGS), *((variant, True) for variant in FLAGS if variant != "perceiver")]


def attend_one_by_one(q, k, v, begins, longest, dropout, scale):
    """What `attend_apart` says it does, sequence by sequence."""
    assert begins.diff().max() <= longest and not dropout
    spans = [slice(*ends) for ends in begins.unfold(0, 2, 1).tolist()]
    heads = [[x[span].transpose(0, 1) for x in (q, k, v)] for span in spans]  # (H, T, D) each
    return torch.cat([F.scaled_dot_product_attention(*qkv, is_causal=True, scale=scale).transpose(0, 1) for qkv in heads])


@pytest.mark.parametrize(("variant", "packed"), COPIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_copy_gives_the_gradients_of_the_model(variant, packed, dtype, monkeypatch):
    monkeypatch.setattr("packing.attend_apart", attend_one_by_one)
    if dtype == torch.float32:
        monkeypatch.setattr(torch.Tensor, "bfloat16", lambda tensor: tensor)
    torch.manual_seed(0)
    model = GPT(GPTConfig(CORPUS.vocab_size, 100, n_layer=2, n_head=2, n_embd=64, **FLAGS[variant])).eval()
    for name, parameter in model.named_parameters():  # else some are zero
        nn.init.normal_(parameter, std=0.1, mean=1.0 if name.endswith("ln_f.weight") else 0.0)
    model.head.weight.requires_grad = False  # what is not learnt has no gradient,
    copy = make_copy(model)
    assert type(copy) is (LowCopy if variant == "perceiver" else PackedCopy)
    with torch.no_grad():  # and the copy follows it all the same
        for parameter in model.parameters():
            parameter.mul_(1.1)
    # a part of few targets and, in bfloat16, two threads: a CPU's sums of many lose some
    part = split_batches("at once", Shapes(300, 64, packed=packed))[0].parts[-1]
    plain = Gradients(model)
    exact_loss = plain.compute([unpack(part)])
    exact = [parameter.grad.clone() for parameter in plain.parameters]
    found = [torch.full_like(parameter, torch.nan) for parameter in plain.parameters]
    n_threads = torch.get_num_threads()
    if dtype == torch.bfloat16:
        torch.set_num_threads(2)
    try:
        for _ in range(2):  # the second time begins anew
            loss = copy.compute(part, found)
    finally:
        torch.set_num_threads(n_threads)
    torch.testing.assert_close(loss, exact_loss, rtol=1e-5 if dtype == torch.float32 else 0.02, atol=0)
    assert_near(found, exact, 1e-4 if dtype == torch.float32 else 0.1)


def test_only_what_computes_as_this_projects_models_do_is_copied():
    class Other(GPT):
        def forward(self, idx, targets=None):
            logits, loss = super().forward(idx, targets)
            return logits, loss and 2 * loss

    config = GPTConfig(CORPUS.vocab_size, 100, n_layer=2, n_head=2, n_embd=16)
    assert make_copy(Other(config)) is None and make_copy(GPT(config).double()) is None
    tied, small_heads = GPT(config), GPT(GPTConfig(CORPUS.vocab_size, 100, n_layer=2, n_head=4, n_embd=16))
    tied.head.weight = tied.tok_emb.weight
    wide = GPT(GPTConfig(CORPUS.vocab_size, 100, n_layer=1, n_head=1, n_embd=256, synthesizer=True))  # 264, with its ones
    many = GPT(GPTConfig(50_000, 100, n_layer=1, n_head=2, n_embd=16))
    assert [type(make_copy(model)) for model in (GPT(config), tied, small_heads, wide, many)] == [PackedCopy, *[LowCopy] * 4]


@pytest.mark.parametrize("kind", ["at once", "one by one"])
def test_packed_parts_hold_the_same_examples(kind):
    rows, packed = (split_batches(kind, Shapes(10**9, multiple, packed)) for multiple, packed in ((1, False), (64, True)))
    for step in range(len(rows)):
        ((x, y, *_),), ((packed_x, packed_y, _, at, begins),) = rows[step].parts, packed[step].parts
        assert packed_x.shape == packed_y.shape == at.shape and len(at) % 64 == 0
        assert begins[0] == 0 and begins[-1] == len(at) and begins.dtype == torch.int32
        for row, (first, last) in enumerate(begins.unfold(0, 2, 1).tolist()):
            assert at[first:last].tolist() == list(range(last - first))
            width = min(last - first, x.size(1))
            assert torch.equal(packed_x[first : first + width], x[row, :width]) and not y[row, width:].any()
            assert torch.equal(packed_y[first : first + width], y[row, :width]) and not packed_y[first + width : last].any()
        unpacked = unpack(packed[step].parts[0])
        assert torch.equal(unpacked.y[:, : x.size(1)], y) and not unpacked.y[:, x.size(1) :].any()


def test_packing_keeps_to_the_block():
    x = torch.ones(3, 10, dtype=torch.long)
    for widths, multiple, n in ((torch.tensor([9, 9, 10]), 16, 30), (torch.tensor([2, 3, 10]), 16, 16), (torch.tensor([1, 1, 1]), 16, 16)):
        part = pack(x, x, 1.0, widths, multiple)
        assert len(part.x) == n and part.begins.diff().max() <= 10 and (part.begins.diff() >= widths).all()


@pytest.mark.parametrize("capabilities", [{"avx512_bf16": True}, {"avx512_bf16": False}, {}, None])
def test_a_recipe_gets_bfloat16_on_a_cpu_that_has_it(capabilities, monkeypatch):
    if capabilities is None:  # as in older versions of PyTorch
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    model = GPT(GPTConfig(CORPUS.vocab_size, 100, n_layer=1, n_head=2, n_embd=16))
    assert make_gradients(model, cpu_bf16=True).bf16 == bool(capabilities and capabilities["avx512_bf16"])
    assert not make_gradients(model).bf16 and not make_gradients(model, plain=True, cpu_bf16=True).bf16


def test_every_part_drops_something_else_and_a_seed_repeats_all(monkeypatch):
    torch.manual_seed(0)
    model = GPT(GPTConfig(CORPUS.vocab_size, 100, n_layer=2, n_head=2, n_embd=16, embd_pdrop=0.5))
    threaded, part = ThreadedGradients(model), split_batches("at once", Shapes(200, 1))[0].parts[3]
    losses = []
    monkeypatch.setattr(threaded, "of_part", lambda *work: losses.append(found := ThreadedGradients.of_part(threaded, *work)) or found)

    def compute(seed):
        torch.manual_seed(seed)
        losses.clear()
        threaded.compute([part] * 12)  # one part twelve times: only what is dropped can differ
        return sorted(loss.item() for loss, _ in losses)

    expected = compute(5)
    assert len(set(expected)) == 12
    assert all(compute(5) == expected for _ in range(5)) and compute(6) != expected


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine where recording fails")
@pytest.mark.parametrize("variant", FLAGS)
def test_without_recording_training_goes_on_with_one_warning(variant, capsys):
    torch.manual_seed(0)
    model = GPT(GPTConfig(CORPUS.vocab_size, 100, n_layer=2, n_head=2, n_embd=64, **FLAGS[variant])).eval()
    recorded = RecordedGradients(model, bf16=True)
    batches = split_batches("at once", recorded.shapes)
    for step in (0, 1):
        parts = batches[step].parts
        assert_near(gradients_of(recorded, parts), gradients_of(Gradients(model), [unpack(part) for part in parts]), 0.05)
    assert capsys.readouterr().err.count("warning: training goes on without CUDA graphs") == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize(("variant", "packed"), COPIES)
def test_on_a_gpu_recorded_gradients_are_those_of_the_kernels_one_by_one(variant, packed):
    torch.manual_seed(0)
    model = GPT(GPTConfig(CORPUS.vocab_size, 100, n_layer=2, n_head=2, n_embd=64, **FLAGS[variant])).cuda().eval()
    for recorded, tolerance in ((RecordedGradients(model), 1e-4), (make_gradients(model), 0.05)):
        # without a copy, in several parts, whose gradients add up
        shapes = recorded.shapes._replace(packed=packed) if recorded.copy is not None else Shapes(300, 16)
        batches = CutBatches([CORPUS, NAMES], 32, 3, 0, shapes, torch.device("cuda"))
        for step in (0, 0, 3, 0):  # the first time records, later ones replay
            parts = batches[step].parts
            assert {part.x.device.type for part in parts} == {"cuda"}
            plain = gradients_of(Gradients(model), [unpack(part) for part in parts])
            assert_near(gradients_of(recorded, parts), plain, tolerance)
            assert recorded.recorder.works and recorded.recordings


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("what", ["embd_pdrop", "attn_pdrop", "resid_pdrop"])
@pytest.mark.parametrize("bf16", [False, True])
def test_on_a_gpu_a_recording_drops_anew_at_each_replay_and_a_seed_repeats_it(what, bf16):
    torch.manual_seed(0)
    dropout = {"embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0} | {what: 0.5}
    model = GPT(GPTConfig(CORPUS.vocab_size, 100, n_layer=2, n_head=2, n_embd=64, **dropout)).cuda().train()
    recorded = RecordedGradients(model, bf16)
    shapes = recorded.shapes if bf16 else Shapes(300, 16)
    parts = CutBatches([CORPUS, NAMES], 32, 3, 0, shapes, torch.device("cuda"))[0].parts
    torch.manual_seed(5)
    losses = [recorded.compute(parts).item() for _ in range(3)]
    assert len(set(losses)) == 3
    torch.manual_seed(5)
    assert [recorded.compute(parts).item() for _ in range(3)] == losses


# ---------------------------------------------------------------- order


class Numbers(Dataset):
    """Item i is i, with numbers from torch's default generator and from Python's."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return torch.tensor(index), torch.stack([torch.rand(()), torch.tensor(random.random())])


def number_batches(seed):
    """Each step's items and random numbers."""
    batches = make_batches(Numbers(), 4, epochs=3, seed=seed, ignored=None, shapes=CPU_SHAPES, device=CPU)
    return batches, lambda step: batches[step].parts[0][:2]


def test_every_epoch_visits_each_item_once_in_an_order_of_its_own():
    batches, at = number_batches(seed=0)
    steps = [at(step)[0].tolist() for step in range(len(batches))]
    assert [len(step) for step in steps] == [4, 4, 2] * 3
    epochs = [[*steps[first], *steps[first + 1], *steps[first + 2]] for first in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_a_batch_is_a_function_of_seed_and_step_alone():
    (_, forwards), (_, backwards) = number_batches(seed=5), number_batches(seed=5)
    set_seed(1)
    would_follow = torch.rand(3).tolist(), random.random()
    set_seed(1)
    expected = [forwards(step) for step in range(9)]
    assert (torch.rand(3).tolist(), random.random()) == would_follow  # whoever else draws is not disturbed
    set_seed(2)
    for step in reversed(range(9)):
        assert all(torch.equal(a, b) for a, b in zip(expected[step], backwards(step), strict=True))
    draws = torch.cat([numbers for _, numbers in expected])
    assert len(draws.unique()) == 60
    _, other = number_batches(seed=6)
    assert not all(torch.equal(expected[step][0], other(step)[0]) for step in range(3))


def test_so_is_a_batch_of_cuts():
    def strings(seed, steps):
        batches = CutBatches([CORPUS, NAMES], 16, 3, seed, Shapes(300, 1), CPU)
        return {step: [spell(CORPUS, x) for part in batches[step].parts for x in part.x] for step in steps}

    torch.manual_seed(1)
    expected = strings(5, range(12))
    torch.manual_seed(2)
    assert strings(5, reversed(range(12))) == expected
    assert strings(6, range(12)) != expected
    asked = sorted(string for step in range(4) for string in expected[step] if " and⁇town" in string)
    assert [string.rstrip("□") for string in asked] == sorted(f"Person {i} and⁇town {i}⁇" for i in range(5, 15))


def test_a_dataset_that_makes_its_items_otherwise_is_asked_for_them():
    class Shouting(CharCorruptionDataset):
        def __getitem__(self, index):
            x, y = super().__getitem__(index)
            return x.masked_fill(x > 1, self.stoi["P"]), y

    batches = make_batches(Shouting("\n".join(LINES), 100), 32, 1, seed=0, ignored=0, shapes=CPU_SHAPES, device=CPU)
    assert set(torch.cat([part.x.flatten() for part in batches[0].parts]).tolist()) == {0, 1, CORPUS.stoi["P"]}


@pytest.mark.parametrize("kind", ["at once", "one by one"])
def test_drawing_a_batch_leaves_the_default_generator_alone(kind):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    split_batches(kind, Shapes(300, 1))[2]
    assert torch.equal(torch.rand(3), expected)
