"""Reading and writing files."""

import glob
import hashlib
import os
import stat
import time
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from console import UserError

LONGEST_NAME = 200  # bytes of a file's name: most systems allow 255, and names of checkpoints and temporary files are longer
ABANDONED = 3600  # seconds after which an untouched temporary file counts as abandoned


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


def check_output(path: str, inputs: Iterable[str | Path | None] = ()) -> None:
    """Raise UserError if a file can't or should not be written: if it is one of the inputs, say; None and missing inputs are skipped."""
    output = Path(path)
    if len(os.fsencode(output.name)) > LONGEST_NAME:
        raise UserError(f"can't write {path}: its name is longer than {LONGEST_NAME} bytes")
    folders = (output.parent, Path(os.path.realpath(output)).parent)  # if it is a link, checkpoints lie beside the link
    if not all(os.path.isdir(folder) and os.access(folder, os.W_OK) for folder in folders):
        raise UserError(f"can't write {output}: its folder must exist and be writable")
    if is_taken(output, inputs):
        raise UserError(f"can't write {output}: it is one of the inputs, or not an ordinary file: name another")
    if os.path.split(path)[1] in ("", "."):  # "new/", which Path takes for "new"
        raise UserError(f"can't write {path}: it names a folder")


def is_taken(path: Path, inputs: Iterable[str | Path | None]) -> bool:
    """Whether what is there must not be replaced: one of the inputs, or no ordinary file; None and missing inputs are skipped."""
    if not os.path.exists(path):
        return False
    return not path.is_file() or any(other and os.path.exists(other) and path.samefile(other) for other in inputs)


def checkpoint_paths(params_path: str | Path) -> tuple[Path, Path]:
    """Where a run that writes these parameters keeps its newest checkpoint, and the one before it."""
    newest = Path(f"{params_path}.checkpoint")
    if newest.is_symlink():  # the two are renamed, and must lie in one folder
        newest = Path(os.path.realpath(newest))
    return newest, Path(f"{newest}.previous")


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to, renamed to `path` at the end: the whole file appears, or nothing.

    A link stays a link, and the file that it points to is written. Raises UserError if that fails.
    """
    if not Path(path).name:
        raise UserError(f"can't write {path}: it is a folder")
    real = Path(os.path.realpath(path))
    temporary = real.with_name(f".{real.name}.{os.getpid()}.tmp")
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


def write_text(path: str | Path, text: str) -> None:
    """Write a text whole, as UTF-8 with newlines as line endings; what UTF-8 can't hold becomes "?", as of a name in some old encoding."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace", newline="\n")


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
    for leftover in real.parent.glob(f"{glob.escape(beginning)}*.tmp"):
        if leftover.name.removeprefix(beginning).removesuffix(".tmp").isdigit():  # otherwise it belongs to a file with a longer name
            with suppress(OSError):
                if not age or time.time() - leftover.stat().st_mtime >= age:  # another machine's clock may be ahead
                    leftover.unlink()


def sha256(text: str) -> str:
    """The hash of a text's UTF-8 bytes, in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()


def file_sha256(path: str | Path) -> str:
    """The hash of a file's bytes, in hexadecimal. Raises UserError if it can't be read."""
    with reading(path), Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
