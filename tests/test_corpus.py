"""Texts as numbers: nothing is lost in encoding, and no cache is trusted that should not be."""

import json
import os
import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import corpus
from console import UserError
from corpus import Documents, encode_file, encode_text
from dataset import CharCorruptionDataset

TEXT = st.text(st.characters(exclude_characters="□⁇\r", exclude_categories=["Cs"]), max_size=60)


def spelt(text):
    return "".join(text.characters[code] for code in text.codes.tolist())


@pytest.fixture
def small_pieces(monkeypatch):
    """Pieces of 7 bytes, and every file large enough for a cache."""
    monkeypatch.setattr(corpus, "PIECE", 7)
    monkeypatch.setattr(corpus, "CACHE_FROM", 1)


def test_a_text_of_16_mb_is_kept_encoded_and_a_shorter_one_is_not(tmp_path):
    for name, size in (("shorter", 2**24 - 1), ("large", 2**24)):
        (tmp_path / name).write_bytes((b"x" * 1023 + b"\n") * 2**14)
        with (tmp_path / name).open("rb+") as file:
            file.truncate(size)
        assert encode_file(tmp_path / name).codes.numel() == size
    assert (tmp_path / "large.codes").exists() and not (tmp_path / "shorter.codes").exists()


@given(st.lists(TEXT, max_size=5))
def test_documents_are_the_split_text(lines):
    text = "\n".join(lines)
    encoded = encode_text(text)
    documents, expected = Documents(encoded), text.split("\n")
    assert spelt(encoded) == text
    assert encoded.characters == ["□", "⁇", *sorted(set(text))]
    assert len(documents) == len(expected)
    assert [documents[i] for i in range(len(documents))] == list(documents) == documents[:] == expected
    assert documents == expected and documents != [*expected, ""] and documents != [*expected[:-1], expected[-1] + "x"]
    assert documents[-1] == expected[-1] and documents[1:9:2] == expected[1:9:2]
    with pytest.raises(IndexError):
        documents[len(expected)]
    begins, lengths = encoded.spans(torch.arange(len(expected)))
    assert lengths.tolist() == [len(line) for line in expected]
    assert begins.tolist() == [sum(len(line) + 1 for line in expected[:i]) for i in range(len(expected))]


@given(st.lists(TEXT.filter(str.strip), min_size=1, max_size=5), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_a_file_in_pieces_reads_like_a_file_at_once(tmp_path_factory, lines, ending, bom):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_bytes(ending.join(lines).encode("utf-8-sig" if bom else "utf-8"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "PIECE", 7)  # cuts through characters and between CR and LF
        encoded = encode_file(path)
    expected = path.read_text(encoding="utf-8-sig")  # Python's own reader is the judge
    assert spelt(encoded) == expected


@pytest.mark.parametrize(("n_characters", "dtype"), [(254, torch.uint8), (255, torch.int16), (40_000, torch.int32)])
def test_characters_take_as_few_bytes_as_there_are_kinds(tmp_path, small_pieces, monkeypatch, n_characters, dtype):
    monkeypatch.setattr(corpus, "PIECE", 5000)
    text = "".join(map(chr, range(0x3400, 0x3400 + n_characters))) + "a"
    text = text.replace("a", "") if n_characters in (254, 255) else text  # with PAD and MASK, just as many as a byte holds, and one more
    encoded = encode_text(text)
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    for each in (encoded, encode_file(tmp_path / "text.txt"), encode_file(tmp_path / "text.txt")):
        assert each.codes.dtype == dtype and spelt(each) == text


def test_the_cache_is_made_once_and_used(tmp_path, small_pieces, monkeypatch):
    path = tmp_path / "text.txt"
    path.write_text("Åsa\nBjörn was here\n", encoding="utf-8")
    first = encode_file(path)
    assert {p.name for p in tmp_path.iterdir()} == {"text.txt", "text.txt.codes", "text.txt.codes.json"}
    monkeypatch.setattr(corpus, "vocabulary", None)  # encoding again would fail
    second = encode_file(path)
    assert spelt(first) == spelt(second) == "Åsa\nBjörn was here\n"
    assert torch.equal(first.starts, second.starts) and first.characters == second.characters and first.sha256 == second.sha256


def spoil_codes(path):
    content = bytearray(path.with_name("text.txt.codes").read_bytes())
    content[3] ^= 1
    path.with_name("text.txt.codes").write_bytes(content)


def spoil_characters(path):
    card = json.loads(path.with_name("text.txt.codes.json").read_text(encoding="utf-8"))
    card["characters"] = card["characters"].replace("B", "C")
    path.with_name("text.txt.codes.json").write_text(json.dumps(card), encoding="utf-8")


def truncate(path):
    os.truncate(path.with_name("text.txt.codes"), 9)


def change_text_alone(path):
    """Other content, but the same size and modification time."""
    stat = path.stat()
    path.write_text("Bo\nAda was away\n!", encoding="utf-8")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def make_folder_of_cache(path):
    path.with_name("text.txt.codes").unlink()
    path.with_name("text.txt.codes").mkdir()


@pytest.mark.parametrize("spoil", [spoil_codes, spoil_characters, truncate, change_text_alone, make_folder_of_cache])
def test_a_stale_or_damaged_cache_is_not_believed(tmp_path, small_pieces, spoil):
    path = tmp_path / "text.txt"
    path.write_text("Ada\nBo was here!\n", encoding="utf-8")
    encode_file(path)
    spoil(path)
    for _ in range(2):
        assert spelt(encode_file(path)) == path.read_text(encoding="utf-8")


def test_a_text_that_changes_while_it_is_read_is_not_used(tmp_path, small_pieces, monkeypatch):
    """It is still being copied, say: its hash would be of no text that there ever was, and no run on it could be resumed."""
    path = tmp_path / "text.txt"
    path.write_text("Ada\nBo", encoding="utf-8")
    read, longer = corpus.vocabulary, " was here"

    def read_slowly(pieces):
        found = read(pieces)
        path.write_text("Ada\nBo" + longer, encoding="utf-8")
        return found

    with monkeypatch.context() as patches:
        patches.setattr(corpus, "vocabulary", read_slowly)
        with pytest.raises(UserError, match=r"text.txt changed while it was read: start again once it is complete"):
            encode_file(path)
    assert not (tmp_path / "text.txt.codes.json").exists()
    path.write_text("Ada\nBo", encoding="utf-8")
    assert spelt(encode_file(path)) == "Ada\nBo"


def test_where_no_cache_can_be_written_there_is_none(tmp_path, small_pieces, monkeypatch):
    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(corpus, "write_cache", full)
    (tmp_path / "text.txt").write_text("Ada\nBo", encoding="utf-8")
    assert spelt(encode_file(tmp_path / "text.txt")) == "Ada\nBo"
    assert [p.name for p in tmp_path.iterdir()] == ["text.txt"]


def test_what_a_killed_encoding_left_goes_and_what_another_process_is_writing_stays(tmp_path, small_pieces):
    (tmp_path / "text.txt").write_text("Ada\nBo", encoding="utf-8")
    for name, hours in ((".text.txt.codes.77.tmp", 2), (".text.txt.codes.78.tmp", 0), (".text.txt.codes.mine", 2)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - 3600 * hours,) * 2)
    encode_file(tmp_path / "text.txt")
    assert sorted(p.name for p in tmp_path.glob(".*")) == [".text.txt.codes.78.tmp", ".text.txt.codes.mine"]


def test_small_files_leave_no_cache(tmp_path):
    (tmp_path / "text.txt").write_text("Ada\nBo", encoding="utf-8")
    encode_file(tmp_path / "text.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["text.txt"]


def test_a_dataset_of_a_file_is_that_of_its_text(tmp_path, small_pieces):
    text = "Ada Lovelace was here.\nÅsa too\n"
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    mapped, plain = CharCorruptionDataset.from_file(tmp_path / "text.txt", 32), CharCorruptionDataset(text, 32)
    assert mapped.stoi == plain.stoi and list(mapped.data) == list(plain.data) and mapped.n_characters == len(text)
    torch.manual_seed(0)
    expected = [plain[i] for i in range(3)]
    torch.manual_seed(0)
    for (x, y), (other_x, other_y) in zip(expected, (mapped[i] for i in range(3)), strict=True):
        assert torch.equal(x, other_x) and torch.equal(y, other_y)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "text.txt is empty"),
        (b"\n \n", "text.txt is empty"),
        ("Bjö".encode("latin-1"), "text.txt, line 1: byte 2 is not UTF-8"),
        ("0123456789é".encode()[:-1], "text.txt, line 1: byte 10 is not UTF-8"),
        ("a\nb\n\né".encode()[:-1] + b"x", "text.txt, line 4: byte 5 is not UTF-8"),
        ("\ufeffa\nZo".encode() + b"\xeb", "text.txt, line 2: byte 7 is not UTF-8"),
        ("a\nbcdefghijk\nc⁇".encode(), "text.txt, line 3 of the corpus holds '⁇'"),
    ],
)
def test_files_that_are_no_corpus_are_refused(tmp_path, small_pieces, content, message):
    (tmp_path / "text.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        encode_file(tmp_path / "text.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["text.txt"]
    with pytest.raises(UserError, match=r"can't read .*none.txt: No such file"):
        encode_file(tmp_path / "none.txt")
    with pytest.raises(UserError, match="can't read"):
        encode_file(tmp_path)
