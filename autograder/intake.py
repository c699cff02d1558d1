"""Taking in what a stranger hands in, a zip or an unpacked folder: only the files that are graded, and only regular ones."""

import shutil
import stat
import zipfile
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from handout import PARTS

WANTED = {name for names in PARTS.values() for name in names}
LARGEST = {".params": 64 * 10**6, ".predictions": 10**6}  # bytes of a file, by its suffix
LARGEST_CODE = 5 * 10**6  # bytes of src/ in total
LEFT_BEHIND = {"__pycache__", "expt"}  # folders in src/, of running the code there
MOST_FILES = 5000  # in a submission, graded or not
DEEPEST, LONGEST = 20, 200  # parts and characters of a graded file's name
NO_FILE = "is a link, or something else that is not a file"


class Refused(Exception):  # noqa: N818 - not an error of the grader
    """A submission that is not graded; the message says why."""


class Found(NamedTuple):
    """A file of a submission."""

    name: str
    size: int
    open: Callable[[], BinaryIO]
    flaw: str | None = None  # why it can't be graded


def take_in(submission: Path, folder: Path) -> set[str]:
    """Copy the graded files into an empty folder. Returns their names. Raises Refused."""
    try:
        found = files_of_folder(submission) if submission.is_dir() else files_of_zip(submission)
        files = list(islice(found, MOST_FILES + 1))
        if len(files) > MOST_FILES:
            raise Refused(f"more than {MOST_FILES} files")
        for file in files:
            if file.name.startswith("/") or ".." in file.name.split("/"):
                raise Refused(f"{shown(file.name)} lies outside the submission")
        root = find_root([file.name for file in files])
        chosen = [file._replace(name=file.name.removeprefix(root)) for file in files if file.name.startswith(root)]
        chosen = [file for file in chosen if file.name in WANTED or is_code(file.name)]
        chosen = [file for file in chosen if file.name.isprintable() or file.name.endswith(".py")]  # without a Mac's "src/Icon\r"
        check(chosen)
        for file in chosen:
            path = folder / file.name
            path.parent.mkdir(parents=True, exist_ok=True)
            with file.open() as source, path.open("wb") as target:
                shutil.copyfileobj(source, target)
    except Refused:
        raise
    except Exception as error:  # what a damaged zip raises is anybody's guess
        raise Refused(f"it can't be read: {type(error).__name__}") from None
    return {file.name for file in chosen}


def files_of_zip(path: Path) -> Iterator[Found]:
    """The files in a zip, none of them unpacked yet."""
    archive = zipfile.ZipFile(path)
    for entry in archive.infolist():
        name = in_usual_form(entry.orig_filename)
        kind = stat.S_IFMT(entry.external_attr >> 16)
        flaw = NO_FILE if kind not in (0, stat.S_IFREG) else "is encrypted" if entry.flag_bits & 1 else None
        if name and not name.endswith("/") and kind != stat.S_IFDIR:
            yield Found(name, entry.file_size, lambda entry=entry: archive.open(entry), flaw)


def files_of_folder(folder: Path) -> Iterator[Found]:
    """The files in a folder, as Gradescope unpacks a zip."""
    ahead = [folder]
    while ahead:
        for path in ahead.pop().iterdir():
            name, status = in_usual_form(path.relative_to(folder).as_posix()), path.lstat()
            if stat.S_ISDIR(status.st_mode):
                ahead.append(path)
            elif not name.endswith("/"):
                flaw = None if stat.S_ISREG(status.st_mode) else NO_FILE
                yield Found(name, status.st_size, lambda path=path: path.open("rb"), flaw)


def in_usual_form(name: str) -> str:
    """A name without the backslashes of old zip programs on Windows, which unpacking may have kept, and without a "./" before it."""
    return name.replace("\\", "/").removeprefix("./")


def is_code(name: str) -> bool:
    """Whether a file belongs to src/: neither outputs, nor what is hidden or was left behind there."""
    first, *others = name.split("/")
    hidden = any(part in LEFT_BEHIND or (part.startswith(".") and part != ".") for part in others)
    return first == "src" and not hidden and PurePosixPath(name).suffix not in LARGEST


def is_plain(name: str) -> bool:
    """Whether a file may have that name."""
    parts = name.split("/")
    return len(parts) <= DEEPEST and len(name) <= LONGEST and not any(part in ("", ".") for part in parts) and name.isprintable()


def check(files: list[Found]) -> None:
    """Raise Refused if a file is not a regular one or is too large, or if two would be the same file on some systems."""
    seen: dict[str, str] = {}
    for file in files:
        if file.flaw is not None:
            raise Refused(f"{shown(file.name)} {file.flaw}")
        if not is_plain(file.name):
            raise Refused(f"{shown(file.name)} is not a plain name")
        if file.name.casefold() in seen:
            raise Refused(f"{shown(seen[file.name.casefold()])} and {shown(file.name)} are one file on some systems")
        seen[file.name.casefold()] = file.name
        if file.size > LARGEST.get(PurePosixPath(file.name).suffix, LARGEST_CODE):
            raise Refused(f"{shown(file.name)} has {file.size / 1e6:.0f} MB")
    code = sorted((file.size, file.name) for file in files if file.name.startswith("src/"))
    if sum(size for size, _ in code) > LARGEST_CODE:
        size, name = code[-1]
        raise Refused(f"src has more than {LARGEST_CODE // 10**6} MB, {size / 1e6:.1f} of them in {shown(name)}")
    for name in seen.values():
        if any(parent.as_posix().casefold() in seen for parent in PurePosixPath(name).parents):
            raise Refused(f"{shown(name)} lies in a folder that is also a file")


def find_root(names: list[str]) -> str:
    """The folder, with a trailing slash, that has a src and graded files: of several the highest, of these the one with most files."""
    ordered = sorted(set(names))
    files = Counter(name[: name.rfind("/") + 1] for name in ordered if name.rpartition("/")[2] in WANTED)
    roots = {name[: f"/{name}".find("/src/")] for name in ordered if "/src/" in f"/{name}"}
    for folder in files:  # which may itself lie in a src
        code = f"{folder}src/"
        at = bisect_left(ordered, code)
        if at < len(ordered) and ordered[at].startswith(code):
            roots.add(folder)
    return max(sorted(roots), key=lambda root: (files[root] > 0, -root.count("/"), files[root]), default="")


def shown(name: str) -> str:
    """A name in a form safe for messages, whatever is in it."""
    return ascii(name[:100])
