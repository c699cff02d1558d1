"""A text as numbers: a small integer for each character, and where each document begins.

The text is read in pieces and never held as one string. A large file's codes are saved next to it (`wiki.txt.codes`,
with the card `wiki.txt.codes.json`); from then on they are mapped into memory, once the hashes of both have been checked.
"""

import codecs
import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

import processes
from cards import card_path, read_card, write_card
from console import UserError, blaming
from files import file_sha256, reading, sha256, written_whole

PAD_CHAR = "\u25a1"  # □ pads to the block's end
MASK_CHAR = "\u2047"  # ⁇ marks the cut and what was cut out; an answer's beginning and its end
PAD, MASK = 0, 1  # their codes
PIECE = 1 << 22  # bytes or characters processed at a time
CACHE_FROM = 1 << 24  # bytes; the codes of smaller files are not kept: making them takes a second


@dataclass(frozen=True)
class EncodedText:
    """A text with a document on each line; its vocabulary is PAD, MASK, and its own characters, sorted."""

    characters: list[str]  # the vocabulary: codes are indices into it
    codes: Tensor  # (n_characters,) uint8, int16 or int32, the smallest that holds them
    starts: Tensor  # (n_documents + 1,) int64; document i ends before the newline at starts[i + 1] - 1
    sha256: str  # of the file's bytes, or of the string in UTF-8

    @property
    def vocabulary_sha256(self) -> str:
        """The hash of the vocabulary's characters in their order."""
        return sha256("".join(self.characters))

    def spans(self, documents: Tensor) -> tuple[Tensor, Tensor]:
        """Where each of the documents (B,) begins, and how many characters it has."""
        begins = self.starts[documents]
        return begins, self.starts[documents + 1] - 1 - begins

    def spell(self, begin: int, length: int) -> str:
        """The `length` characters from `begin` on."""
        return "".join(map(self.characters.__getitem__, self.codes[begin : begin + length].tolist()))


class Documents(Sequence[str]):
    """The documents of an encoded text, each spelt out on demand: `text.split("\\n")`, without the list."""

    def __init__(self, text: EncodedText) -> None:
        self.text = text

    def __len__(self) -> int:
        return len(self.text.starts) - 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    def __repr__(self) -> str:
        return f"<{len(self)} documents>"

    def __getitem__(self, index: int | slice) -> str | list[str]:
        chosen = range(len(self))[index]  # or IndexError
        if isinstance(index, slice):
            return [self[i] for i in chosen]
        return self.text.spell(*map(int, self.text.spans(torch.tensor(chosen))))


# ---------------------------------------------------------------- from text to codes


def encode_text(text: str) -> EncodedText:
    """Encode a text that is in memory. Raises UserError if it holds one of the two sentinels."""

    def pieces() -> Iterator[str]:
        return (text[first : first + PIECE] for first in range(0, len(text), PIECE))

    characters = vocabulary(pieces())
    codes, starts = zip(*encode_pieces(pieces(), characters), strict=True)
    return EncodedText(characters, torch.cat(codes), torch.cat(starts), sha256(text))


def encode_file(path: str | Path) -> EncodedText:
    """Encode a UTF-8 file, with any line endings read as newlines and a byte order mark dropped; a large one through its cache.

    Raises UserError if the file can't be read, is empty or not UTF-8, or holds one of the two sentinels.
    """
    path = Path(path)
    with reading(path):
        stat = path.stat()
        large = stat.st_size >= CACHE_FROM
        with ThreadPoolExecutor() as pool:  # hashing a large file takes a while: both at once
            found = pool.submit(read_card, cache_path(path)) if large else None
            text_hash = file_sha256(path)
        key = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": text_hash}
        if found and key.items() <= (card := found.result()).items():
            return map_cache(path, card)
        text = encode_anew(path, key, large)
        if file_sha256(path) != text_hash:
            with suppress(OSError):
                card_path(cache_path(path)).unlink(missing_ok=True)  # the cache is of neither text
            raise UserError(f"{path} changed while it was read: start again once it is complete")
    return text


def encode_anew(path: Path, key: dict[str, Any], large: bool) -> EncodedText:
    """Encode the file, whose size and hash are in `key`; the codes of a large one are kept in its cache, if that can be written."""
    look = {"unit": "B", "unit_scale": True, "delay": 2, "leave": False, "disable": processes.rank() > 0}
    with tqdm(total=2 * key["size"], desc=f"encoding {path.name}", **look) as bar:
        with blaming(path):
            characters = vocabulary(read_pieces(path, bar))
        if all(character.isspace() for character in characters[2:]):
            raise UserError(f"{path} is empty")
        if large:
            with suppress(OSError, UserError):  # a folder that can't be written to, a full disk: do without the cache
                return write_cache(path, key, characters, encode_pieces(read_pieces(path, bar), characters))
        codes, starts = zip(*encode_pieces(read_pieces(path, bar), characters), strict=True)
    return EncodedText(characters, torch.cat(codes), torch.cat(starts), key["sha256"])


def read_pieces(path: Path, bar: tqdm) -> Iterator[str]:
    """The text of a file, piece by piece. Raises UserError if it is not UTF-8."""
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8-sig")(), translate=True)
    with path.open("rb") as file:
        ended = False
        while not ended:
            piece = file.read(PIECE)
            ended = not piece
            try:
                yield decoder.decode(piece, final=ended)
            except UnicodeDecodeError as error:
                position = file.tell() - len(error.object) + error.start
                file.seek(0)
                line = sum(file.read(min(PIECE, position - at)).count(b"\n") for at in range(0, position, PIECE)) + 1
                raise UserError(f"line {line}: byte {position} is not UTF-8: save it as UTF-8 text") from None
            bar.update(len(piece))


def code_points(text: str) -> Tensor:
    """(len(text),) the characters' Unicode code points, int32."""
    buffer = bytearray(text.encode(f"utf-32-{sys.byteorder[0]}e", errors="surrogatepass"))
    return torch.frombuffer(buffer, dtype=torch.int32) if buffer else torch.empty(0, dtype=torch.int32)


def vocabulary(pieces: Iterable[str]) -> list[str]:
    """PAD, MASK, and the characters of the text, sorted. Raises UserError, naming the line, if the text holds PAD or MASK."""
    seen = torch.zeros(sys.maxunicode + 1, dtype=torch.bool)
    line = 1
    for piece in pieces:
        seen[code_points(piece).long()] = True
        for sentinel in (PAD_CHAR, MASK_CHAR):
            if seen[ord(sentinel)]:
                line += piece[: piece.index(sentinel)].count("\n")
                raise UserError(f"line {line} of the corpus holds {sentinel!r}, which marks masks and padding: take it out")
        line += piece.count("\n")
    return [PAD_CHAR, MASK_CHAR, *map(chr, seen.nonzero().flatten().tolist())]


def encode_pieces(pieces: Iterable[str], characters: Sequence[str]) -> Iterator[tuple[Tensor, Tensor]]:
    """Piece by piece, the codes and the document starts; concatenated, they are those of an EncodedText."""
    sizes = {torch.uint8: 1 << 8, torch.int16: 1 << 15, torch.int32: 1 << 31}
    table = torch.zeros(sys.maxunicode + 1, dtype=next(dtype for dtype, size in sizes.items() if len(characters) <= size))
    table[code_points("".join(characters)).long()] = torch.arange(len(characters)).to(table.dtype)
    done = 0
    yield table[:0], torch.tensor([0])  # the first document begins at 0,
    for piece in pieces:
        points = code_points(piece).long()
        yield table[points], (points == ord("\n")).nonzero().flatten() + done + 1  # each further one after a newline,
        done += len(points)
    yield table[:0], torch.tensor([done + 1])  # and the last ends at the end, as if a newline followed


# ---------------------------------------------------------------- the cache


def cache_path(path: Path) -> Path:
    """Where the codes of a file are kept."""
    return path.with_name(path.name + ".codes")


def write_cache(path: Path, key: dict[str, int | str], characters: Sequence[str], pieces: Iterable[tuple[Tensor, Tensor]]) -> EncodedText:
    """Write the codes of the file at `path`, then its document starts, to its cache, with a card. Returns it, mapped into memory."""
    with written_whole(cache_path(path)) as temporary, temporary.open("wb") as file:
        starts = []
        for codes, more_starts in pieces:
            file.write(codes.numpy())
            starts.append(more_starts)
        n_bytes = file.tell()
        file.write(bytes(-n_bytes % 8))  # int64 values must begin at a multiple of 8
        file.write(torch.cat(starts).numpy())
    card = key | {"characters": "".join(characters), "dtype": str(codes.dtype), "n_bytes": n_bytes}
    write_card(cache_path(path), card)
    return map_cache(path, card)


def map_cache(path: Path, card: dict[str, Any]) -> EncodedText:
    """The cache of the file at `path`, mapped into memory as its card describes it."""
    memory = torch.from_file(str(cache_path(path)), size=cache_path(path).stat().st_size, dtype=torch.uint8)
    codes = memory[: card["n_bytes"]].view(getattr(torch, card["dtype"].removeprefix("torch.")))
    starts = memory[card["n_bytes"] + -card["n_bytes"] % 8 :].view(torch.int64)
    return EncodedText(list(card["characters"]), codes, starts, card["sha256"])
