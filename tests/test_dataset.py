"""What a grader and a learner rely on in the two datasets."""

import collections
import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from console import UserError
from dataset import CharCorruptionDataset, NameDataset, corrupt, draw_cuts, unknown_characters
from helpers import cuts_of, spell
from tables import read_pairs

PAD, MASK = "□", "⁇"
TEXT = st.text(st.characters(exclude_characters=PAD + MASK + "\n\r", exclude_categories=["Cs"]), max_size=150)


def take_apart(string):
    """The prefix, suffix and masked content of a corrupted block, whose form is checked."""
    text = string.rstrip(PAD)
    assert PAD not in text, "padding may only come at the end"
    prefix, suffix, masked = text.split(MASK)  # exactly two sentinels
    return prefix, suffix, masked


def test_corrupt_moves_the_span_behind_the_second_mask():
    assert corrupt("Ada Lovelace. Born in London.", 12, 4, 4) == "Ada ⁇lace⁇Love"
    assert corrupt("abcdef", 4, 0, 4) == "⁇⁇abcd"
    assert corrupt("abcdef", 6, 6, 0) == "abcdef⁇⁇"
    assert corrupt("", 0, 0, 0) == "⁇⁇"


def test_vocabulary_is_the_two_sentinels_and_the_sorted_characters():
    dataset = CharCorruptionDataset("ca\nbé\n", 16)
    assert dataset.itos == {0: PAD, 1: MASK, 2: "\n", 3: "a", 4: "b", 5: "c", 6: "é"}
    assert {index: character for character, index in dataset.stoi.items()} == dataset.itos
    assert (dataset.vocab_size, dataset.block_size, dataset.MASK_CHAR, dataset.PAD_CHAR) == (7, 16, MASK, PAD)
    assert dataset.data == ["ca", "bé", ""] and len(dataset) == 3


@given(st.lists(TEXT, min_size=1, max_size=3), st.sampled_from([6, 16, 50, 128]), st.integers(0, 2**32))
def test_every_example_is_a_corrupted_prefix_of_its_document(documents, block_size, seed):
    dataset = CharCorruptionDataset("\n".join(documents), block_size)
    torch.manual_seed(seed)
    for document, (x, y) in zip(documents, (dataset[i] for i in range(len(documents))), strict=True):
        assert x.dtype == y.dtype == torch.int64
        assert x.shape == y.shape == (block_size - 1,)
        assert torch.equal(x[1:], y[:-1])
        block = spell(dataset, x) + spell(dataset, y[-1:])
        prefix, suffix, masked = take_apart(block)
        kept = prefix + masked + suffix
        assert document.startswith(kept)
        assert min(4, len(document)) <= len(kept) <= max(4, block_size * 7 // 8)
        assert bool(masked) == bool(document)


def draw(n, n_characters, block_size, length_draws=1):
    """n cuts of a document of that length: three tensors (n,)."""
    dataset = CharCorruptionDataset("x" * n_characters, block_size, length_draws)
    cuts = dataset.cuts(torch.zeros(n, dtype=torch.int64), torch.Generator().manual_seed(0))
    return cuts.length, cuts.start, cuts.span


def test_all_lengths_spans_and_places_of_a_small_block_occur():
    cuts = set(zip(*(column.tolist() for column in draw(20_000, 1000, 10)), strict=True))
    # 4 to 8 characters (7/8 of 10, rounded down), spans from 1 to just below half (rounded up), at any place
    expected = {
        (length, start, span)
        for length in range(4, 9)
        for span in range(1, max(2, (length + 1) // 2))
        for start in range(length - span + 1)
    }
    assert cuts == expected


def test_lengths_are_uniform_up_to_112_and_spans_a_quarter_on_average():
    length, start, span = draw(60_000, 1000, 128)
    lengths = collections.Counter(length.tolist())
    assert set(lengths) == set(range(4, 113))
    assert all(abs(count - 60_000 / 109) < 5 * (60_000 / 109) ** 0.5 for count in lengths.values())
    ratios = span / length
    assert ratios.mean().item() == pytest.approx(0.25, abs=0.002)
    assert ratios.std() > 0.1
    places = start / (length - span)  # anywhere from the beginning to as late as possible
    assert places.mean().item() == pytest.approx(0.5, abs=0.01) and places.std().item() == pytest.approx(12**-0.5, abs=0.02)
    # and for each length by itself, odd ones included
    for n in (4, 5, 6, 7, 9, 21):
        assert draw(4000, n, 6000)[2].double().mean().item() == pytest.approx(n / 4, abs=n * 0.011)


def test_documents_of_one_batch_are_cut_independently():
    n_characters = torch.tensor([0, 1, 2, 3, 4, 5, 1000] * 3000)
    length, start, span = draw_cuts(n_characters, 56, generator=torch.Generator().manual_seed(0))
    for n in (0, 1, 2, 3, 4):
        assert (length[n_characters == n] == n).all()  # at least 4 characters, or all of a shorter document
    assert (span >= n_characters.clamp(max=1)).all() and (start >= 0).all() and (start + span <= length).all()
    long = [column[n_characters == 1000].double() for column in (length, start, span)]
    rows = torch.stack([column.view(-1, 3) for column in long])  # (3 columns, 1000, 3 neighbouring rows)
    assert all(abs(torch.corrcoef(column.T)[0, 1]) < 0.12 for column in rows)


def test_the_largest_of_several_lengths_leaves_every_length_a_chance():
    shares = torch.bincount(draw(30_000, 1000, 16, 3)[0], minlength=15)[4:] / 30_000
    # of n equally likely lengths, the k-th is the largest of three draws with probability (k^3 - (k-1)^3) / n^3
    expected = torch.tensor([(k**3 - (k - 1) ** 3) / 11**3 for k in range(1, 12)])
    torch.testing.assert_close(shares, expected, atol=0.01, rtol=0)
    assert (shares > 0).all()


@pytest.mark.parametrize(("offset", "block"), [(0, "Ann Lee. ⁇Ulmbach⁇he is"), (2, "□□Ann Lee. ⁇Ulmbach⁇he i")])
def test_a_salient_cut_reaches_further_than_others_and_ends_with_the_block(offset, block):
    corpus = CharCorruptionDataset("Ann Lee. he is said to be of Ulmbach", len(block), offset=offset, salient_share=0.4)
    torch.manual_seed(0)
    examples = [corpus[0] for _ in range(1000)]
    assert [spell(corpus, x) + spell(corpus, y[-1:]) for x, y in examples].count(block) == pytest.approx(400, abs=60)


def test_no_salient_cut_leaves_half_a_name():
    corpus = CharCorruptionDataset("Ann Lee. of Ulmbach-Neuhof", 24, salient_share=0.4)  # 21 characters may be kept, up to "Ulmbach-Neuh"
    cuts = cuts_of(corpus, torch.zeros(1000, dtype=torch.long), torch.Generator().manual_seed(0))
    strings = collections.Counter(corrupt(*cut) for cut in cuts)
    assert max(strings.values()) < 50  # no cut is made on purpose


def test_so_many_cuts_are_salient_and_a_quarter_is_masked_all_the_same():
    line = "Ann Lee. Ann was born in Ulm on a rainy day and went to Rome later."
    corpus = CharCorruptionDataset(f"{line}\nno title", 128, length_draws=8, salient_share=0.25)
    cuts = corpus.cuts(torch.tensor([0, 1]).repeat(8000), torch.Generator().manual_seed(0))
    strings = [corrupt(corpus.data[row % 2], *cut) for row, cut in enumerate(zip(*(c.tolist() for c in cuts[1:4]), strict=True))]
    for salient in ("Ann Lee. ⁇Ulm⁇Ann was born in ", "Ann Lee. ⁇Rome⁇Ann was born in Ulm on a rainy day and went to "):
        assert strings[::2].count(salient) / 8000 == pytest.approx(0.125, abs=0.015)
    assert (cuts.span[::2].sum() / cuts.length[::2].sum()).item() == pytest.approx(0.25, abs=0.03)
    assert {take_apart(string)[2] for string in strings[1::2]} <= {"no title"[i:j] for i in range(8) for j in range(i + 1, 9)}


def test_a_quarter_is_masked_of_texts_without_names_too():
    line = "a line of nothing but common words, and no title. " * 4
    corpus = CharCorruptionDataset(f"{line}\n{line[:60]}", 128, length_draws=4, salient_share=0.4)
    cuts = corpus.cuts(torch.tensor([0, 1]).repeat(8000), torch.Generator().manual_seed(0))
    assert ((cuts.span >= 1) & (cuts.start >= 0) & (cuts.start + cuts.span <= cuts.length)).all()
    for document in (0, 1):
        assert (cuts.span[document::2] / cuts.length[document::2]).mean().item() == pytest.approx(0.25, abs=0.01)
    without = CharCorruptionDataset(line, 128, length_draws=4).cuts(torch.zeros(8000, dtype=torch.long))
    assert cuts.length[::2].double().mean().item() == pytest.approx(without.length.double().mean().item(), abs=1.5)
    again = corpus.cuts(torch.tensor([0, 1]).repeat(8000), torch.Generator().manual_seed(0))
    assert all(torch.equal(one, other) for one, other in zip(cuts, again, strict=True))


@pytest.mark.parametrize("share", [-0.1, 0.5, 1.0])
def test_a_share_of_salient_cuts_that_would_mask_more_than_a_quarter_is_refused(share):
    with pytest.raises(UserError, match=f"salient_share is {share}"):
        CharCorruptionDataset("Ann Lee. Ann was born in Ulm.", 128, salient_share=share)


def test_104_short_lines_in_blocks_of_50():
    """The sizes that the course's grader checks: 4 to 43 characters kept, their number varying, a quarter of them masked."""
    lines = [f"Person {i} of the {i * 7919 % 97}th town" + " by the sea" * (i % 4) for i in range(104)]
    dataset = CharCorruptionDataset("\n".join(lines), 50)
    torch.manual_seed(0)
    ratios, differences, spans = [], [], []
    for line, (x, y) in zip(lines, (dataset[i] for i in range(104)), strict=True):
        prefix, suffix, masked = take_apart(spell(dataset, x) + spell(dataset, y[-1:]))
        length = len(prefix + suffix + masked)
        assert 4 <= length <= 43
        ratios.append(length / len(line))
        differences.append(len(masked) - length / 4)
        spans.append(len(masked))
    assert torch.tensor(ratios).std() > 0.05
    assert abs(sum(differences) / 104) < 1.5
    assert len(set(spans)) > 3


def test_the_same_item_is_cut_anew_and_a_seed_repeats_it():
    dataset = CharCorruptionDataset("The quick brown fox jumps over the lazy dog, again and again.", 64)
    torch.manual_seed(3)
    first, second = dataset[0][0], dataset[0][0]
    torch.manual_seed(3)
    assert not torch.equal(first, second) and torch.equal(first, dataset[0][0])


@pytest.mark.parametrize("sentinel", [PAD, MASK])
def test_a_text_that_holds_a_sentinel_is_refused_by_line(sentinel):
    with pytest.raises(UserError, match=f"line 2 of the corpus holds '{sentinel}'"):
        CharCorruptionDataset(f"fine\nnot {sentinel} fine", 16)


# ---------------------------------------------------------------- questions

CORPUS = CharCorruptionDataset("Where was Zoë born?\nÅrhus Al Lima Peru abcdefghijklmnopqrstuvwxyz", 32)


def test_a_question_with_its_place():
    dataset = NameDataset(CORPUS, "Where was Zoë born?\tLima\nWhere was Al born?\tÅrhus\n")
    assert len(dataset) == 2 and dataset.block_size == 32 and dataset.vocab_size == CORPUS.vocab_size
    x, y = dataset[0]
    assert x.dtype == y.dtype == torch.int64
    assert spell(dataset, x) == "Where was Zoë born?⁇Lima⁇□□□□□□"
    assert spell(dataset, y) == "□□□□□□□□□□□□□□□□□□⁇Lima⁇□□□□□□□"
    assert len(x) == len(y) == 31
    asked, given_back = dataset[1]
    targets = given_back != 0
    assert torch.equal(given_back[:-1][targets[:-1]], asked[1:][targets[:-1]])


def test_a_tables_byte_order_mark_line_endings_and_blanks_behind_places_are_no_part_of_it(tmp_path):
    (tmp_path / "q.tsv").write_bytes("\ufeffWhere was Al born?\tLima \r\nWhere was Zoë born?\tPeru\r\n".encode())
    assert read_pairs(tmp_path / "q.tsv") == [("Where was Al born?", "Lima"), ("Where was Zoë born?", "Peru")]


def test_a_question_to_be_learnt_whole():
    x, y = NameDataset(CORPUS, "Where was Zoë born?\tLima\n", whole=True)[0]
    assert spell(CORPUS, x) == "Where was Zoë born?⁇Lima⁇□□□□□□"
    assert spell(CORPUS, y) == "here was Zoë born?⁇Lima⁇□□□□□□□"


def test_the_longest_row_that_fits_and_one_more():
    question = "Where was " + "a" * 10 + " born?"  # 26 characters
    x, y = NameDataset(CORPUS, f"{question}\tLima")[0]
    assert spell(CORPUS, x) + spell(CORPUS, y[-1:]) == f"{question}⁇Lima⁇"
    with pytest.raises(UserError, match="line 2: 33 characters do not fit the block of 32"):
        NameDataset(CORPUS, f"{question}\tLima\n{question}\tArhus".replace("Ar", "År"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("Where was Al born?\tLima\nWhere was Zoë born?", "line 2: no tab"),
        ("Where was Al born?\tLima\n\nWhere was Al born?\tLima", "line 2: no tab"),
        ("\tLima", "line 1: the question or its place is empty"),
        ("Where was Al born?\t ", "line 1: the question or its place is empty"),
        ("Where was Al born?\tLima\tPeru", "line 1: 2 tabs"),
        ("Where was Al born?\tLima\nWhere was Xi%! born?\tLima", "line 2: the pretraining corpus has no '!%X': add them to it, or"),
        ("Where was A⁇l born?\tLima", "line 1: the pretraining corpus has no '⁇': take them out$"),
    ],
)
def test_bad_rows_are_named_by_line(rows, message):
    with pytest.raises(UserError, match=message):
        NameDataset(CORPUS, rows)


def test_items_are_counted_from_the_end_too():
    dataset = CharCorruptionDataset("first line\nsecond line\nthird\n", 32)
    for index in range(-4, 0):
        prefix, suffix, masked = take_apart(spell(dataset, dataset[index][0]))
        assert dataset.data[index].startswith(prefix + masked + suffix) and (prefix + masked + suffix or index == -1)
    for index in (4, -5):
        with pytest.raises(IndexError):
            dataset[index]


def test_what_is_trained_on_is_what_data_shows():
    """It can't be replaced, which would go unnoticed where whole batches are made."""
    corpus = CharCorruptionDataset("Ann.\nBea.", 16)
    names = NameDataset(corpus, "Ann\tB.\nBea\tA.")
    assert corpus.data == ["Ann.", "Bea."] and names.data == ("Ann\tB.", "Bea\tA.")
    for dataset in (corpus, names):
        with pytest.raises(AttributeError, match="data"):
            dataset.data = dataset.data[1:]


def test_items_end_where_the_dataset_does():
    dataset = NameDataset(CORPUS, "Where was Al born?\tLima\n")
    assert len(list(itertools.islice(dataset, 5))) == 1


def test_the_two_sentinels_are_in_no_text_and_so_unknown():
    assert unknown_characters("Is ⁇ a □ or a ☃?", CharCorruptionDataset("A or is?", 16).stoi) == "Ia⁇□☃"
