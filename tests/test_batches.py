"""Batches made at once equal those made example by example, and their parts together make up the batch."""

import collections
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import ConcatDataset, Dataset

from batches import CPU_SHAPES, CutBatches, Shapes, corrupt_codes, make_batches, pack, unpack
from dataset import CharCorruptionDataset, Cuts, NameDataset, corrupt
from helpers import CORPUS, LINES, NAMES, OneByOne, padded, spell, split_batches
from packing import BF16Copy, PackedCopy
from utils import set_seed

CPU = torch.device("cpu")
TEXT = st.text("abc é", max_size=30)


def spell_pair(dataset, x, y):
    """Inputs and targets up to the last target."""
    targets = spell(dataset, y).rstrip("□")
    return spell(dataset, x)[: len(targets)], targets


# ---------------------------------------------------------------- cutting


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
        # the padding before the document is not to be learnt
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
    first = "ab. d Fg hi Jk" if salient_share else "abcdefghij"  # Jk is beyond what other cuts show
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
    for string in at_once:  # the difference of two counts of mean n has standard deviation sqrt(2 n)
        assert abs(at_once[string] - one_by_one[string]) < 5 * (at_once[string] + one_by_one[string]) ** 0.5, string


# ---------------------------------------------------------------- parts


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
            assert total / sum(part.y.numel() for part in parts) > 0.7  # in full blocks, it is below a half
            assert total / n_tokens < 0.5


@pytest.mark.parametrize("packed", [False, True])
def test_the_targets_of_what_does_not_fit_the_block_do_not_count(packed):
    corpus = CharCorruptionDataset("Ann Lee. he is said to be of Ulmbach\nshort", 24, offset=2, salient_share=0.4)
    batches = make_batches(corpus, 2, 50, seed=0, ignored=0, shapes=Shapes(10, 1, packed), device=CPU)
    seen = set()
    for batch in batches.load(0, 0, False):
        rows = [unpack(part) for part in batch.parts]
        n_targets = [int((row.y != 0).sum()) for row in rows]
        assert [row.share for row in rows] == pytest.approx([n / sum(n_targets) for n in n_targets])
        seen |= {spell_pair(corpus, x, y) for row in rows for x, y in zip(row.x, row.y, strict=True)}
    assert ("□□Ann Lee. ⁇Ulmbach⁇he ", "□□nn Lee. ⁇Ulmbach⁇he i") in seen


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


@pytest.mark.parametrize("wrap", [lambda dataset: dataset, OneByOne])
@pytest.mark.parametrize("shapes", [PackedCopy.shapes, BF16Copy.shapes])
def test_there_is_a_part_for_every_process(wrap, shapes, monkeypatch):
    monkeypatch.setattr("processes.count", lambda: 4)
    parts = make_batches(wrap(CORPUS), 32, 1, 0, shapes, 0, CPU)[0].parts
    assert len(parts) == 4 and sum(part.share for part in parts) == pytest.approx(1)


def test_packing_keeps_to_the_block():
    x = torch.ones(3, 10, dtype=torch.long)
    for widths, multiple, n in ((torch.tensor([9, 9, 10]), 16, 30), (torch.tensor([2, 3, 10]), 16, 16), (torch.tensor([1, 1, 1]), 16, 16)):
        part = pack(x, x, 1.0, widths, multiple)
        assert len(part.x) == n and part.begins.diff().max() <= 10 and (part.begins.diff() >= widths).all()


# ---------------------------------------------------------------- order


class Numbers(Dataset):
    """Item i is i, with random numbers from torch's default generator and from Python's."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return torch.tensor(index), torch.stack([torch.rand(()), torch.tensor(random.random())])


def number_batches(seed):
    """The batches, and a function that gives a step's items and random numbers."""
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
    assert (torch.rand(3).tolist(), random.random()) == would_follow  # other draws are not disturbed
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


def test_datasets_joined_into_one_text_as_on_a_gpu_give_the_same_batches():
    apart, joined = (CutBatches([CORPUS, NAMES], 32, 3, 0, Shapes(300, 1), CPU) for _ in range(2))
    joined.shifts, joined.codes = [0, len(CORPUS.codes)], [torch.cat(joined.codes)]
    for step in range(len(apart)):
        for one, other in zip(apart[step].parts, joined[step].parts, strict=True):
            assert torch.equal(one.x, other.x) and torch.equal(one.y, other.y)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_batches_on_a_gpu_are_those_of_a_cpu():
    cpu, gpu = (CutBatches([CORPUS, NAMES], 32, 3, 0, Shapes(300, 1), torch.device(kind)) for kind in ("cpu", "cuda"))
    for step in range(len(cpu)):
        for one, other in zip(cpu[step].parts, gpu[step].parts, strict=True):
            assert torch.equal(one.x, other.x.cpu()) and torch.equal(one.y, other.y.cpu())


def test_a_dataset_that_makes_its_items_otherwise_is_asked_for_them():
    class Shouting(CharCorruptionDataset):
        def __getitem__(self, index):
            x, y = super().__getitem__(index)
            return x.masked_fill(x > 1, self.stoi["P"]), y

    batches = make_batches(Shouting("\n".join(LINES), 100), 32, 1, seed=0, ignored=0, shapes=CPU_SHAPES, device=CPU)
    assert set(torch.cat([part.x.flatten() for part in batches[0].parts]).tolist()) == {0, 1, CORPUS.stoi["P"]}


def test_so_are_several_together():
    class Shouting(ConcatDataset):
        def __getitem__(self, index):
            x, y = super().__getitem__(index)
            return x.masked_fill(x > 1, CORPUS.stoi["P"]), y

    batches = make_batches(Shouting([CORPUS, NAMES]), 32, 1, seed=0, ignored=0, shapes=CPU_SHAPES, device=CPU)
    assert set(torch.cat([part.x.flatten() for part in batches[0].parts]).tolist()) == {0, 1, CORPUS.stoi["P"]}


def test_drawing_a_batch_of_cuts_leaves_the_default_generator_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    split_batches("at once", Shapes(300, 1))[2]
    assert torch.equal(torch.rand(3), expected)
