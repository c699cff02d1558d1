"""Taking in what a stranger hands in, a zip or an unpacked folder: only the files that are graded, only ordinary ones."""

import os
import re
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from handout import PARTS

LARGEST = {".params": 64 * 10**6, ".predictions": 10**6, "src": 5 * 10**6}  # bytes; of src/, in all
MOST_FILES = 5000  # in a submission, graded or not


class Refused(Exception):  # noqa: N818 - no error of the grader's
    """A submission that is not graded; the message says why."""


class Found(NamedTuple):
    """A file of a submission."""

    name: str
    size: int
    open: Callable[[], BinaryIO]


def take_in(submission: Path, folder: Path) -> set[str]:
    """Copy what is graded into an empty folder; the names of these files. Raises Refused."""
    files = list(files_of_zip(submission) if submission.is_file() else files_of_folder(submission))
    check_names([file.name for file in files])
    root = find_root([file.name for file in files])
    sizes = {"src": 0}
    taken = set()
    wanted = {name for names in PARTS.values() for name in names}
    for file in files:
        name = file.name.removeprefix(root)
        if not file.name.startswith(root) or not (name in wanted or name.startswith("src/")):
            continue
        kind = "src" if name.startswith("src/") else PurePosixPath(name).suffix
        sizes[kind] = file.size + (sizes["src"] if kind == "src" else 0)
        if sizes[kind] > LARGEST[kind]:
            raise Refused(f"{name}: {sizes[kind] / 1e6:.0f} MB, no more than {LARGEST[kind] // 10**6} MB are taken")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        copy(file, path)
        taken.add(name)
    return taken


def files_of_zip(path: Path) -> Iterator[Found]:
    """The files in a zip, none of them unpacked yet."""
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        raise Refused(f"{path.name} is no zip that can be read") from None
    for entry in archive.infolist():
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise Refused(f"{shown(entry.filename)} is a link, or something else that is no file")
        if entry.flag_bits & 1:
            raise Refused(f"{shown(entry.filename)} is encrypted")
        name = entry.orig_filename  # what is written there: a backslash, say, is one
        if not entry.is_dir():
            yield Found(name, entry.file_size, lambda entry=entry: archive.open(entry))


def files_of_folder(folder: Path) -> Iterator[Found]:
    """The files in a folder, as Gradescope unpacks a zip."""
    for where, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(where, name)
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
                raise Refused(f"{shown(path.relative_to(folder).as_posix())} is a link, or something else that is no file")
            if stat.S_ISREG(status.st_mode):
                yield Found(path.relative_to(folder).as_posix(), status.st_size, lambda path=path: path.open("rb"))


def check_names(names: list[str]) -> None:
    """Raise Refused where a name leads out of the folder, or two are one on some systems."""
    if len(names) > MOST_FILES:
        raise Refused(f"{len(names)} files, no more than {MOST_FILES} are taken")
    seen: dict[str, str] = {}
    for name in names:
        if name.startswith("/") or ".." in name.split("/") or re.search(r"[\\:\0]", name):
            raise Refused(f"{shown(name)} would lie outside of its folder on some systems")
        former = seen.setdefault(name.casefold(), name)
        if former != name or names.count(name) > 1:
            raise Refused(f"{shown(former)} and {shown(name)} are one file on some systems")
    for name in seen:
        if any(parent.as_posix() in seen for parent in PurePosixPath(name).parents):
            raise Refused(f"{shown(seen[name])} lies in what is a file itself")


def find_root(names: list[str]) -> str:
    """The folder that all lies in, where it does, with a slash; what macOS adds does not count."""
    tops = {name.split("/")[0] for name in names if "/" in name} - {"__MACOSX"}
    loose = [name for name in names if "/" not in name and name != ".DS_Store"]
    return f"{tops.pop()}/" if len(tops) == 1 and not loose and "src" not in tops else ""


def copy(file: Found, path: Path) -> None:
    """Write a file's content to `path`. Raises Refused where it can't be read, or is larger than it claims."""
    try:
        with file.open() as source, path.open("wb") as target:
            shutil.copyfileobj(source, target)
    except (OSError, ValueError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zipfile.zlib.error):
        raise Refused(f"{shown(file.name)} is damaged in the zip") from None


def shown(name: str) -> str:
    """A name for a message, whatever is in it."""
    return ascii(name[:100])
