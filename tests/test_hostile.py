"""Whatever a file holds, a command either does its work, or says in one line what is wrong with which file and writes nothing."""

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers import run_here

PRETRAIN = "pretrain vanilla {} --recipe quick --max_epochs 1 --batch_size 64 --writing_params_path out"
FINETUNE = "finetune vanilla wiki.txt --recipe quick --max_epochs 1 --writing_params_path out --finetune_corpus_path {}"
MIX = "pretrain vanilla wiki.txt --recipe quick --max_epochs 1 --writing_params_path out --finetune_corpus_path {}"
EVALUATE = "evaluate vanilla wiki.txt --recipe quick --reading_params_path pre.params --outputs_path out --eval_corpus_path {}"
SKIP = EVALUATE + " --unknown skip"

pieces = st.sampled_from(
    ["Where was A born?", "Rome", "\t", "\t\t", "\n", "\r\n", "\r", "\ufeff", "\0", "□", "⁇", "\ud800", "☃", " ", "\u2028", ""]
)
rows = st.sampled_from(["Where was A born?\tRome\n", "Where was Bo born?\tLima\r\n", "Where was A born?\n"])
tables = st.lists(rows, min_size=1, max_size=3).map("".join)
texts = tables | st.lists(rows | pieces | st.text(max_size=30), max_size=12).map("".join)
contents = texts.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=200)


@pytest.fixture(scope="module")
def folder(world, tmp_path_factory):
    """A working directory with a small corpus, its tables, and parameters trained on it."""
    folder = tmp_path_factory.mktemp("hostile")
    lines = (world / "wiki.txt").read_text(encoding="utf-8").split("\n")[:4]
    (folder / "wiki.txt").write_text("\n".join(lines), encoding="utf-8")
    with contextlib.chdir(folder):
        assert run_here(PRETRAIN.format("wiki.txt").replace(" out", " pre.params"))[0] == 0
        yield folder


def check(line, content, name="bad", says=""):
    """Either exit code 2, with one line that names the file and has the pattern `says`, and nothing written, or success.

    Returns the exit code.
    """
    Path(name).write_bytes(content)
    before = {path.name for path in Path().iterdir()} | {"expt"}
    code, _, errors = run_here(line.format(name))
    left = {path.name for path in Path().iterdir()} - before
    for path in left:
        Path(path).unlink()
    assert code in (0, 2), errors
    assert code or left >= {"out"}
    if code == 2:
        assert errors.startswith("run.py: error: ") and errors.count("\n") == 1 and name in errors, errors
        assert re.search(says, errors), errors
        assert not left
    return code


def report(kind, codes):
    """Print how many were used and how many refused; any other outcome would have failed."""
    assert len(codes) < 100 or 0 < codes.count(0) < len(codes)
    print(f"\n{kind}: {len(codes)} tried, {codes.count(0)} used, {codes.count(2)} refused in one line")


def examples(soak, share):
    """How many inputs to generate: few, or a share of the soak's two thousand."""
    return int(2000 * share) if soak else 12


LINES = {"texts": PRETRAIN, "tables to finetune on": FINETUNE, "tables to mix in": MIX, "questions": EVALUATE, "questions, skipping": SKIP}


@pytest.mark.parametrize("kind", LINES)
def test_any_content_of_a_text_or_table(folder, kind, soak):
    codes = []

    @settings(max_examples=examples(soak, 0.16), suppress_health_check=list(HealthCheck))
    @given(contents)
    def one(content):
        codes.append(check(LINES[kind], content, says=r" line \d|bad is empty"))

    one()
    report(kind, codes)


def test_any_damage_to_parameters(folder, soak):
    whole = Path("pre.params").read_bytes()
    codes = []

    @settings(max_examples=examples(soak, 0.2), suppress_health_check=list(HealthCheck))
    @given(st.integers(0, len(whole) - 1), st.binary(max_size=40), st.booleans())
    def one(at, change, cut):
        damaged = whole[:at] + change + (b"" if cut else whole[at + len(change) :])
        codes.append(check(EVALUATE.format("birth.tsv").replace("pre.params", "{}"), damaged))

    Path("birth.tsv").write_text("Where was A born?\n", encoding="utf-8")
    one()
    report("parameters", codes)


@pytest.mark.parametrize(
    ("line", "content", "code"),
    [
        (PRETRAIN, b"", 2),
        (PRETRAIN, b"\xef\xbb\xbf", 2),
        (PRETRAIN, b"Ada. Born in Lima.\r\nBo. Born in Rome.\r", 0),
        (PRETRAIN, "Ada ⁇ Bo".encode(), 2),
        (PRETRAIN, b"a\0b\nc", 0),
        (PRETRAIN, b"Ada \xed\xa0\x80", 2),  # half of a surrogate pair
        (PRETRAIN, b"x" * 10_000_000 + b"\nyz", 0),
        (MIX, b"a" * 10_000_000 + b"\tLima\n", 2),
        (EVALUATE, b"a" * 10_000_000, 2),
    ],
)
def test_what_is_known_to_be_hard(folder, line, content, code):
    assert check(line, content) == code
