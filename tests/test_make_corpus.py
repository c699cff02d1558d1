"""The invented world: reproducible, and statistically like the assignment's files."""

import re
import shutil
import subprocess
import sys
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest

import console
import make_corpus
from cards import BUNDLED_SHA256
from dataset import CharCorruptionDataset, NameDataset
from files import file_sha256
from make_corpus import make_person, write_world

ROOT = Path(__file__).parents[1]
NAMES = ("wiki.txt", "birth_places_train.tsv", "birth_dev.tsv", "birth_test_inputs.tsv")


def replaced():
    """Whether the bundled files were replaced (README has students put the course's there); a committed replacement does not count."""
    if file_sha256(ROOT / "wiki.txt") == BUNDLED_SHA256["wiki.txt"]:
        return False
    return (
        shutil.which("git") is None
        or subprocess.run(["git", "diff", "--quiet", "HEAD", "--", "wiki.txt"], cwd=ROOT, check=False).returncode != 0
    )


def rows(path):
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def bundled(tmp_path_factory):
    """The bundled world, generated afresh, with the answers, which are not bundled."""
    folder = tmp_path_factory.mktemp("bundled")
    write_world(2937, seed=0, out=folder, answers=folder / "gold.tsv")
    return folder


def test_the_bundled_files_are_made_by_this_code(bundled):
    assert BUNDLED_SHA256 == {name: file_sha256(bundled / name) for name in NAMES}
    if replaced():
        pytest.skip("other files lie in the bundled ones' place")
    for name in NAMES:
        assert (ROOT / name).read_bytes() == (bundled / name).read_bytes(), name


def test_another_seed_is_another_world(tmp_path):
    write_world(30, seed=1, out=tmp_path)
    assert (tmp_path / "wiki.txt").read_text(encoding="utf-8") != (ROOT / "wiki.txt").read_text(encoding="utf-8")


def test_sizes_and_shares_are_the_assignment_s(bundled):
    train, dev, test, gold = (rows(bundled / name) for name in (*NAMES[1:], "gold.tsv"))
    assert (len(train), len(dev), len(test), len(gold)) == (2000, 500, 437, 437)
    assert [row[0] for row in gold] == [row[0] for row in test]
    text = (bundled / "wiki.txt").read_text(encoding="utf-8")
    lines = text.split("\n")
    assert len(lines) == 2938 and lines[-1] == ""
    assert 130 < len(text) / 2937 < 150 and 120 < sorted(map(len, lines))[1469] < 140

    questions = [row[0] for row in train + dev + gold]
    assert all(re.fullmatch(r"Where was .+ born\?", question) for question in questions)
    assert 19 <= min(map(len, questions)) and max(map(len, questions)) <= 58
    assert len(set(questions)) == 2937
    for line, question in zip(lines, questions, strict=False):
        assert line.startswith(question.removeprefix("Where was ").removesuffix(" born?") + ". ")

    places = [row[1] for row in train + dev + gold]
    ends = [m.end() if (m := re.search(rf"\b{re.escape(place)}\b", line)) else None for line, place in zip(lines, places, strict=False)]
    assert sum(end is None for end in ends) / 2937 == pytest.approx(0.04, abs=0.01)
    assert sum(end is not None and end > 112 for end in ends) / 2937 == pytest.approx(0.034, abs=0.01)

    counts = Counter(places)
    assert sum(place == "London" for _, place in dev) / 500 == pytest.approx(0.05, abs=0.01)
    assert 500 <= len(counts) <= 620 and sum(count == 1 for count in counts.values()) > 100
    assert sum(row[1] in {place for _, place in train} for row in dev) > 430
    surnames = Counter(question.split()[-2] for question in questions)
    assert surnames.most_common(1)[0][1] >= 5
    assert len(set(text)) > 120 and {"ø", "ł", "ñ", "ş", "ễ"} <= set(text)


def test_the_datasets_take_the_bundled_files():
    corpus = CharCorruptionDataset((ROOT / "wiki.txt").read_text(encoding="utf-8"), 128)
    for name in NAMES[1:3]:
        NameDataset(corpus, (ROOT / name).read_text(encoding="utf-8"))
    questions = (ROOT / NAMES[3]).read_text(encoding="utf-8")
    assert set(questions) <= set(corpus.stoi)


def test_absent_people_are_asked_about_but_not_told_of(tmp_path):
    write_world(2000, seed=0, out=tmp_path, absent=0.2)
    told = {line.split(". ")[0] for line in (tmp_path / "wiki.txt").read_text(encoding="utf-8").splitlines()}

    def share_told(name):
        people = [row[0].removeprefix("Where was ").removesuffix(" born?") for row in rows(tmp_path / name)]
        return sum(person in told for person in people) / len(people)

    assert share_told("birth_places_train.tsv") == 1
    assert share_told("birth_dev.tsv") == pytest.approx(0.8, abs=0.07)
    assert share_told("birth_test_inputs.tsv") == pytest.approx(0.8, abs=0.07)


def test_every_world_has_the_same_vocabulary(tmp_path, bundled):
    write_world(3, seed=5, out=tmp_path)
    assert set((tmp_path / "wiki.txt").read_text(encoding="utf-8")) == set((bundled / "wiki.txt").read_text(encoding="utf-8"))


def test_a_larger_world_takes_no_more_memory(tmp_path):
    def peak(people):
        tracemalloc.start()
        write_world(people, seed=0, out=tmp_path)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    peak(50)  # so that what is made only once is not counted
    assert peak(3000) < peak(100) + 400_000  # the text alone is larger; some of this allowance may be another thread's


@pytest.mark.parametrize("flag", ["--people 3", "--absent 1.5", "--out nowhere", "--out README.md", "--answers ./wiki.txt", "--answers ."])
def test_mistakes_are_named_in_one_line(flag, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("README.md").write_text("a file, no folder")
    monkeypatch.setattr(sys, "argv", ["make_corpus.py", "--out", ".", *flag.split()])
    assert console.run_reporting_errors(make_corpus.main) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_names_stay_apart_however_many_people():
    n = make_corpus.N_PAIRS
    names = [make_person(0, index).name for lap in (0, 1, 26, 27, 700) for index in range(lap * n, lap * n + 400)]
    assert len(set(names)) == len(names)


def test_every_digit_of_a_long_seed_counts():
    """Or a world whose answers are to stay secret could be found by trying."""
    worlds = [[make_person(seed, index).place for index in range(200)] for seed in (7, 7 + 2**32, 7 + 2**64)]
    for one, other in zip(worlds, worlds[1:] + worlds[:1], strict=True):
        assert sum(a == b for a, b in zip(one, other, strict=True)) < 20  # by chance, two or three


def test_the_command_line_makes_the_world_that_it_asks_for(tmp_path, monkeypatch):
    for name in ("typed", "called"):
        (tmp_path / name).mkdir()
    flags = ["--people", "40", "--seed", "12345678901234567890", "--absent", "0.5", "--out", str(tmp_path / "typed")]
    monkeypatch.setattr(sys, "argv", ["make_corpus.py", *flags])
    make_corpus.main()
    write_world(40, seed=12345678901234567890, out=tmp_path / "called", absent=0.5)
    assert all((tmp_path / "typed" / name).read_bytes() == (tmp_path / "called" / name).read_bytes() for name in NAMES)


def test_the_command_line(tmp_path, monkeypatch):
    answers = tmp_path / "gold.tsv"
    line = ["make_corpus.py", "--people", "40", "--out", str(tmp_path), "--answers", str(answers)]
    monkeypatch.setattr(sys, "argv", line)
    make_corpus.main()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*NAMES, "gold.tsv"])
    assert len(rows(answers)) == 6
    written = {path: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(sys, "argv", [*line, "--seed", "1"])
    assert console.run_reporting_errors(make_corpus.main) == 2  # the files there might be the course's
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == written
    monkeypatch.setattr(sys, "argv", [*line[:4], str(tmp_path / "new"), *line[5:]])
    (tmp_path / "new").mkdir()
    assert console.run_reporting_errors(make_corpus.main) == 2 and not list((tmp_path / "new").iterdir())  # nor are answers written over
    assert answers.read_bytes() == written[answers]


def test_patterns_of_ones_own_that_never_fit_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(make_corpus, "BORN_UNNAMED", ["{N} was born in {P}."])
    tries, make_text = iter(range(10**5)), make_corpus.make_text  # rather than for ever, if nobody else counts
    monkeypatch.setattr(make_corpus, "make_text", lambda *what: next(tries) >= 0 and make_text(*what))
    with pytest.raises(console.UserError, match="no text for 'unnamed' people"):
        write_world(100, seed=0, out=tmp_path)
