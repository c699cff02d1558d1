"""Files are read as text and appear whole or not at all; one that can't be read or written is named."""

import sys

import pytest

from cards import card_path, read_card, write_card
from console import UserError
from files import clear_leftovers, read_text, written_whole
from tables import are_right, read_questions


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("before")
    with pytest.raises(RuntimeError), written_whole(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "before"
    link = tmp_path / "link.txt"
    link.hardlink_to(path)  # whoever has the old file open keeps all of it
    with written_whole(path) as temporary:
        temporary.write_text("after")
        assert path.read_text() == "before"
    assert path.read_text() == "after" and link.read_text() == "before"
    assert sorted(tmp_path.iterdir()) == [link, path]


@pytest.mark.skipif(sys.platform == "win32", reason="creating links needs a privilege on Windows")
def test_a_link_stays_one_and_what_it_names_is_written(tmp_path):
    """Large files may be kept on another disk."""
    (tmp_path / "disk").mkdir()
    for target in ("there", "not yet"):
        link, real = tmp_path / f"{target}.params", tmp_path / "disk" / target
        link.symlink_to(real)
        (tmp_path / "disk" / "there").write_text("before")
        (tmp_path / "disk" / f".{target}.77.tmp").touch()  # left by a killed process
        clear_leftovers(link)
        with written_whole(link) as temporary:
            temporary.write_text("after")
        assert link.readlink() == real and real.read_text() == "after"
    assert {path.name for path in (tmp_path / "disk").iterdir()} == {"there", "not yet"}


def test_what_others_are_writing_just_now_is_left_to_them(tmp_path):
    """Theirs are named after other files, whose names begin like this one's and may also end in a number."""
    theirs = {".x.params.77.tmp", ".x.2.77.tmp", ".x.params.checkpoint.77.tmp", ".y.77.tmp", ".x.2024", ".x.tmp", "x"}
    for name in {*theirs, ".x.77.tmp"}:
        (tmp_path / name).touch()
    clear_leftovers(tmp_path / "x")
    assert {path.name for path in tmp_path.iterdir()} == theirs


def test_a_line_without_a_question_is_named(tmp_path):
    """Its answer would be one line more than a grader expects."""
    path = tmp_path / "test.tsv"
    path.write_text("Where was A born?\nWhere was B born?\n", encoding="utf-8")
    assert read_questions(path) == (["Where was A born?", "Where was B born?"], None)
    path.write_text("Where was A born?\nWhere was B born?\n \n", encoding="utf-8")
    with pytest.raises(UserError, match=r"test.tsv, line 3: the question is empty"):
        read_questions(path)


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    (tmp_path / "file").touch()
    for folder in ("none", "file"):
        with pytest.raises(UserError, match=f"can't write .*{folder}/out"), written_whole(tmp_path / folder / "out"):
            pass


def test_unreadable_files_are_named(tmp_path):
    (tmp_path / "latin.txt").write_bytes("Zoë".encode("latin-1"))
    (tmp_path / "marked.txt").write_bytes("\ufeffa\nZo".encode() + b"\xeb")
    (tmp_path / "empty.txt").write_text("\n")
    for name, message in [
        ("none.txt", "can't read .*none.txt: No such file"),
        ("latin.txt", r"latin.txt, line \d+: byte \d+ is not UTF-8"),
        ("marked.txt", "marked.txt, line 2: byte 7 is not UTF-8"),
        ("empty.txt", "is empty"),
    ]:
        with pytest.raises(UserError, match=message):
            read_text(tmp_path / name)
    with pytest.raises(UserError, match="can't read"):
        read_text(tmp_path)


def test_a_card_may_name_paths_that_are_no_text(tmp_path):
    (tmp_path / "x").touch()
    write_card(tmp_path / "x", {"corpus": "caf\udce9/Zoë.txt"})  # as Python reads a name that is not UTF-8
    assert read_card(tmp_path / "x")["corpus"] == "caf\udce9/Zoë.txt"


def test_a_card_that_no_reader_gets_to_the_end_of_is_as_good_as_none(tmp_path):
    (tmp_path / "x").touch()
    card_path(tmp_path / "x").write_text("[" * 10**5, encoding="utf-8")
    assert read_card(tmp_path / "x") == {}


def test_an_answer_counts_as_a_file_of_predictions_has_it():
    assert are_right(["Ulm", "New\nYork", "Ulm ", ""], ["Ulm", "New York", "Ulm", "Ulm"]) == [True, True, False, False]
