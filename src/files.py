"""Reading and writing files."""

import glob
import hashlib
import json
import os
import stat
import time
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from console import UserError, blaming

BUNDLED_SHA256 = "a250bedae2637cad7702e82e1140375e1a85819d89366074a94f162c63012fe1"  # of the bundled wiki.txt, whose people are invented
LONGEST_NAME = 200  # bytes of a file's name: most systems allow 255, and names of checkpoints and temporary files are longer
ABANDONED = 3600  # seconds after which an untouched temporary file counts as abandoned

# ---------------------------------------------------------------- reading and writing


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Raise UserError if `path` can't be read, or is neither a file nor a folder: reading from a pipe, say, might never end."""
    try:
        if Path(path).exists() and not Path(path).is_file() and not Path(path).is_dir():
            raise UserError(f"can't read {path}: it is not an ordinary file")
        yield
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror or error}") from None


def read_text(path: str | Path, may_be_blank: bool = False) -> str:
    """The text of a UTF-8 file, with any line endings read as newlines and a byte order mark dropped. Raises UserError."""
    try:
        with reading(path):
            text = Path(path).read_text(encoding="utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(f"{path}, line {line}: byte {error.start} is not UTF-8: save it as UTF-8 text") from None
    if not may_be_blank and not text.strip():
        raise UserError(f"{path} is empty")
    return text


def split_rows(text: str) -> list[str]:
    """The lines of a table; a newline at its end does not begin another line."""
    return text.removesuffix("\n").split("\n")


def in_one_line(prediction: str) -> str:
    """A prediction as a file of predictions has it."""
    return prediction.replace("\n", " ")


def are_right(predictions: Iterable[str], places: Iterable[str]) -> list[bool]:
    """Which predictions, in the form that a file of them has, equal their places."""
    return [in_one_line(said) == place for said, place in zip(predictions, places, strict=True)]


def read_predictions(path: str | Path) -> list[str]:
    """The lines of a file of predictions, all of which may be blank."""
    return split_rows(read_text(path, may_be_blank=True))


def split_pair(row: str, line: int) -> tuple[str, str]:
    """The question and the place in a row of a TSV. Raises UserError, naming the line, unless it has exactly these two."""
    question, *places = row.split("\t")
    if len(places) != 1:
        raise UserError(f"line {line}: {len(places) or 'no'} tabs, but exactly one belongs between the question and its place")
    if not question.strip() or not places[0].strip():
        raise UserError(f"line {line}: the question or its place is empty")
    return question, places[0].strip()


def split_pairs(rows: list[str], path: str | Path) -> list[tuple[str, str]]:
    """The same for all rows of the TSV at `path`."""
    with blaming(path):
        return [split_pair(row, line) for line, row in enumerate(rows, start=1)]


def read_pairs(path: str | Path) -> list[tuple[str, str]]:
    """The questions of a TSV, each with its place."""
    return split_pairs(split_rows(read_text(path)), path)


def read_questions(path: str | Path) -> tuple[list[str], list[str] | None]:
    """The questions of a TSV and their places; None instead of places if no line has a tab."""
    rows = split_rows(read_text(path))
    if not any("\t" in row for row in rows):
        for line, row in enumerate(rows, start=1):
            if not row.strip():  # its answer would be one too many for whoever compares them
                raise UserError(f"{path}, line {line}: the question is empty")
        return rows, None
    questions, places = zip(*split_pairs(rows, path), strict=True)
    return list(questions), list(places)


def check_output(path: str, inputs: Iterable[str | None] = ()) -> None:
    """Raise UserError if a file can't or should not be written: if it is one of the inputs, say; None and missing inputs are skipped."""
    output = Path(path)
    if len(os.fsencode(output.name)) > LONGEST_NAME:
        raise UserError(f"can't write {path}: its name is longer than {LONGEST_NAME} bytes")
    folders = (output.parent, Path(os.path.realpath(output)).parent)  # if it is a link, checkpoints lie beside the link
    if not all(folder.is_dir() and os.access(folder, os.W_OK) for folder in folders):
        raise UserError(f"can't write {output}: its folder must exist and be writable")
    if output.exists() and (not output.is_file() or any(path and Path(path).exists() and output.samefile(path) for path in inputs)):
        raise UserError(f"can't write {output}: it is one of the inputs, or not an ordinary file: name another")
    if os.path.split(path)[1] in ("", "."):  # "new/", which Path takes for "new"
        raise UserError(f"can't write {path}: it names a folder")


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to, renamed to `path` at the end: the whole file appears, or nothing.

    A link stays a link, and the file that it points to is written. Raises UserError if that fails.
    """
    if not Path(path).name:
        raise UserError(f"can't write {path}: it is a folder")
    real = Path(os.path.realpath(path))
    temporary = real.with_name(f".{real.name}.{os.getpid()}")
    clear_leftovers(path, ABANDONED)
    try:
        temporary.touch()
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(real)
    except OSError as error:
        raise UserError(f"can't write {path}: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_zip(path: str | Path, files: Mapping[str, Path | bytes], executable: Collection[str] = ()) -> None:
    """Write a zip of files or bytes under the given names; the same content makes the same zip, whenever it is written."""
    with written_whole(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix, so that the modes count
            entry.external_attr = (stat.S_IFREG | (0o755 if name in executable else 0o644)) << 16  # readable by whoever unpacks it
            archive.writestr(entry, content if isinstance(content, bytes) else content.read_bytes(), zipfile.ZIP_DEFLATED)


def clear_leftovers(path: str | Path, age: float = 0) -> None:
    """Remove what processes killed while writing `path` left beside it, if it has not been touched for `age` seconds."""
    real = Path(os.path.realpath(path))
    beginning = f".{real.name}."
    for leftover in real.parent.glob(f"{glob.escape(beginning)}*"):
        if leftover.name.removeprefix(beginning).isdigit():  # otherwise it belongs to a file with a longer name
            with suppress(OSError):
                if not age or time.time() - leftover.stat().st_mtime >= age:  # another machine's clock may be ahead
                    leftover.unlink()


def sha256(text: str) -> str:
    """The hash of a text's UTF-8 bytes, in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()


def file_sha256(path: str | Path) -> str:
    """The hash of a file's bytes, in hexadecimal. Raises OSError."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def announce_if_bundled(path: str | Path, text_hash: str) -> None:
    """If the text at `path` is, by its hash, the bundled corpus, say in one line that its people are invented."""
    if text_hash == BUNDLED_SHA256:
        print(f"{path} is the bundled text, whose people are invented: before handing in, replace all bundled files with the course's.")


# ---------------------------------------------------------------- cards


def card_path(path: str | Path) -> Path:
    """The path of a file's card: JSON that says where the file comes from."""
    return Path(f"{path}.json")


def write_card(path: str | Path, facts: dict[str, Any]) -> None:
    """Write the card of the file at `path`; `facts` holds plain values. The card ends with the hashes of the file and of itself."""
    facts = facts | {"file_sha256": file_sha256(path)}
    facts |= {"card_sha256": sha256(json.dumps(facts))}
    with written_whole(card_path(path)) as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8", newline="\n")


def read_card(path: str | Path) -> dict[str, Any]:
    """The card of the file at `path`; an empty one if there is none, or if the file or the card has been changed since."""
    try:
        card = json.loads(card_path(path).read_text(encoding="utf-8"))
        card_hash = card.pop("card_sha256")
        intact = card_hash == sha256(json.dumps(card)) and card["file_sha256"] == file_sha256(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    return card if intact else {}


def told_by(card: dict[str, Any], part: str, name: str, kind: type) -> Any:
    """What a part of a card has under that name; None if it has nothing, or something of another type."""
    facts = card.get(part)
    found = facts.get(name) if isinstance(facts, dict) else None
    return found if isinstance(found, kind) else None


def recipe_of(card: dict[str, Any]) -> str | None:
    """The recipe of the run that a card of parameters describes; None if it does not say."""
    return told_by(card, "arguments", "recipe", str)


def n_head_of(card: dict[str, Any]) -> int | None:
    """The number of heads that a card of parameters gives; None if it does not say."""
    n_head = told_by(card, "recipe", "n_head", int)
    return n_head if n_head and n_head > 0 else None
