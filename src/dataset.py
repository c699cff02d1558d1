"""The two datasets: documents with a span cut out (pretraining), and questions with answers (finetuning).

    python src/dataset.py namedata          prints four questions with answers
    python src/dataset.py charcorruption    prints four corrupted documents

Both give pairs (x, y) of character indices, int64 tensors of block_size - 1 entries, where y[t] is what
follows x[t], or PAD, which carries no loss.
"""

if __name__ == "__main__":
    import preflight  # noqa: F401 - before anything that may be missing

import sys
from collections.abc import Iterable, Sequence, Set
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset

from console import Parser, UserError, blaming, run_reporting_errors
from corpus import MASK_CHAR, PAD, PAD_CHAR, Documents, EncodedText, encode_file, encode_text
from files import read_text
from names import TellingNames, searched
from tables import split_pair, split_rows

READ_FOR_NAMES = 3000  # documents, at most: a large text is not read to its end for this


class Cuts(NamedTuple):
    """How examples are made from a dataset's `codes`: of which document, `corrupt`'s arguments, where to; (B,) int64 each."""

    begin: Tensor  # where the document begins in the codes
    length: Tensor  # how many of its characters are kept
    start: Tensor  # where the span begins, from the document's beginning
    span: Tensor  # how many characters are cut out
    blank: Tensor  # so many targets carry no loss, from that of the document's first character on
    offset: Tensor  # how much padding precedes the document; its targets carry no loss


def corrupt(document: str, length: int, start: int, span: int) -> str:
    """Cut document[start : start + span] out of its first `length` characters: prefix MASK suffix MASK masked.

    Span corruption (Raffel et al. 2020, sections 3.1.4 and 3.3.4), here for a decoder alone: a single span, and input and target in one
    sequence, which the loss is on as a whole.
    """
    text = document[:length]
    return text[:start] + MASK_CHAR + text[start + span :] + MASK_CHAR + text[start : start + span]


def draw_cuts(
    lengths: Tensor, longest: int, length_draws: int = 1, masked: float = 0.25, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Random (length, start, span) for `corrupt`, each (B,), given the documents' lengths (B,).

    The length is uniform over 4 ... `longest`, or the largest of several such draws, but no more than the document has.
    The span is the share `masked` of it on average, exactly so from 1 / `masked` characters on: uniform over
    1 ... 2 masked length - 1, where a fraction is rounded up or down at random, so that the average holds.
    """

    def uniform(*times: int) -> Tensor:
        """(*times, B), uniform over [0, 1)"""
        return torch.rand(*times, len(lengths), dtype=torch.float64, generator=generator)

    def integers(low: int, high: Tensor | int, *times: int) -> Tensor:
        """(*times, B), uniform over low ... high"""
        return low + (uniform(*times) * (high - low + 1)).long()

    length = integers(4, longest, length_draws).amax(dim=0).minimum(lengths)
    twice_the_mean = (2 * masked * length + uniform()).long()
    span = integers(1, (twice_the_mean - 1).clamp(min=1)).minimum(length)
    start = integers(0, length - span)
    return length, start, span


class CharCorruptionDataset(Dataset):
    """Item i is document i of a text, one per line, corrupted anew at every access (drawn by torch's default generator).

    The text is a string or already encoded. With more `length_draws`, more of a document is kept; with an `offset`, documents
    begin that many positions later, after padding. A `salient_share` of the cuts are salient: they leave only the title and
    one proper name (names.py), which other cuts may not reach, or, if there is none, mask half of what they keep. The others
    mask correspondingly less: about a quarter is masked overall. What does not fit the block is left off its end.

    The trainer does not use items: it makes the same of a whole batch at once, by `cuts` (batches.py).
    """

    MASK_CHAR = MASK_CHAR
    PAD_CHAR = PAD_CHAR

    def __init__(
        self, data: str | EncodedText, block_size: int, length_draws: int = 1, offset: int = 0, salient_share: float = 0.0
    ) -> None:
        self.longest = min(block_size * 7 // 8, block_size - 2 - offset)  # two masks must fit, too
        if self.longest < 4:
            raise UserError(f"a block of {block_size} characters is too short for {offset + 4} of text and two masks")
        if not 0 <= salient_share < 0.5:
            raise UserError(f"salient_share is {salient_share}: it must be at least 0 and below a half, or more than a quarter is masked")
        self.text = encode_text(data) if isinstance(data, str) else data
        self.stoi = {character: index for index, character in enumerate(self.text.characters)}
        self.itos = dict(enumerate(self.text.characters))
        self.block_size = block_size
        self.length_draws, self.offset, self.salient_share = length_draws, offset, salient_share
        self.vocab_size = len(self.text.characters)
        self.codes = self.text.codes  # what `cuts` points into
        self.n_characters = len(self.codes)
        self.names = TellingNames(self.longest)

    @classmethod
    def from_file(cls, path: str | Path, block_size: int, **how: Any) -> Self:
        """The dataset of a UTF-8 file, which is never held as one string. Raises UserError if it can't be used."""
        return cls(encode_file(path), block_size, **how)

    @property
    def data(self) -> Documents:
        """The documents; if the text ends with a newline, the empty one after it counts. To train on some, take a Subset of the dataset."""
        return Documents(self.text)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        index = range(len(self))[index]  # or IndexError
        cut = self.cuts(torch.tensor([index]))
        text = corrupt(self.data[index], int(cut.length), int(cut.start), int(cut.span))
        room = self.block_size - self.offset
        block = self.encode_at_offset(text[:room].ljust(room, PAD_CHAR))  # (block_size,)
        y = block[1:].clone()
        y[: self.offset] = PAD
        return block[:-1], y

    def encode_at_offset(self, text: str) -> Tensor:
        """(offset + len(text),) int64 indices: a text placed where documents begin in a block."""
        return encode(PAD_CHAR * self.offset + text, self.stoi)

    def cuts(self, indices: Tensor, generator: torch.Generator | None = None) -> Cuts:
        """Draw a cut for each of the documents (B,)."""
        begin, lengths = self.text.spans(indices)
        masked = (0.25 - 0.5 * self.salient_share) / (1 - self.salient_share)  # by ordinary cuts, so that it is a quarter overall
        cuts = torch.stack(draw_cuts(lengths, self.longest, self.length_draws, masked, generator))  # (3, B)
        if self.salient_share:
            chance, pick = torch.rand(2, len(indices), dtype=torch.float64, generator=generator)  # (B,) each
            nameless = []
            for row in (chance < self.salient_share).nonzero()[:, 0].tolist():
                if names := self.names.of(self.spell_beginning(int(begin[row]), int(lengths[row]))):
                    cuts[:, row] = torch.tensor(names[int(pick[row] * len(names))].cut)
                else:
                    nameless.append(row)
            cuts[:, nameless] = torch.stack(draw_cuts(lengths[nameless], self.longest, self.length_draws, 0.5, generator))
        return Cuts(begin, *cuts, blank=torch.zeros_like(begin), offset=torch.full_like(begin, self.offset))

    def learn_names(self, places: Set[str]) -> None:
        """Learn from these places, the answers to questions, which of a document's names salient cuts leave from now on."""
        spans = self.text.spans(torch.arange(min(len(self), READ_FOR_NAMES)))
        self.names.learn(map(self.spell_beginning, *(column.tolist() for column in spans)), places)

    def spell_beginning(self, begin: int, length: int) -> str:
        """As much of a document as is searched for names."""
        return self.text.spell(begin, min(length, searched(self.longest) + 2))


class NameDataset(Dataset):
    """Item i is question i of a TSV with its place: question MASK place MASK, y blank over the question.

    With `whole`, y is not blank there: the question is learnt too, like any other text.
    `pretraining_dataset` supplies the vocabulary and block size. Raises UserError for a row that is not a pair, is too long
    for the block, or holds a character that the vocabulary lacks.
    """

    MASK_CHAR = MASK_CHAR
    PAD_CHAR = PAD_CHAR

    def __init__(self, pretraining_dataset: CharCorruptionDataset, data: str, whole: bool = False) -> None:
        self.stoi, self.itos = pretraining_dataset.stoi, pretraining_dataset.itos
        self.block_size, self.vocab_size = pretraining_dataset.block_size, pretraining_dataset.vocab_size
        self.whole = whole
        self._rows = tuple(split_rows(data))
        self.places: set[str] = set()
        texts, starts = [], []  # of each row: question and place; where the place begins
        for line, row in enumerate(self._rows, start=1):
            question, place = split_pair(row, line)
            text = question + place
            if len(text) + 2 > self.block_size:
                raise UserError(f"line {line}: {len(text) + 2} characters do not fit the block of {self.block_size}")
            if unknown := unknown_characters(text, self.stoi):
                cure = "take them out" if set(unknown) & {PAD_CHAR, MASK_CHAR} else "add them to it, or take them out here"
                raise UserError(f"line {line}: the pretraining corpus has no {unknown!r}: {cure}")
            texts.append(text)
            starts.append(len(question))
            self.places.add(place)
        self.codes = encode("".join(texts), self.stoi).to(pretraining_dataset.codes.dtype)
        start, length = torch.tensor(starts), torch.tensor([len(text) for text in texts])
        # question MASK place MASK is the pair, corrupted by an empty span at the question's end
        none = torch.zeros_like(start)
        begin = length.cumsum(0) - length
        self._cuts = Cuts(begin, length, start, span=none, blank=none if whole else start - 1, offset=none)

    @property
    def data(self) -> tuple[str, ...]:
        """The rows. To train on some, take a Subset of the dataset, or give it these alone."""
        return self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        question, place = split_pair(self._rows[index], index + 1)
        text = f"{question}{MASK_CHAR}{place}{MASK_CHAR}".ljust(self.block_size, PAD_CHAR)
        block = encode(text, self.stoi)  # (block_size,)
        y = block[1:].clone()
        if not self.whole:
            y[: len(question) - 1] = PAD
        return block[:-1], y

    def cuts(self, indices: Tensor, generator: torch.Generator | None = None) -> Cuts:
        """The questions (B,) as cuts; nothing is drawn."""
        return Cuts(*(column[indices] for column in self._cuts))


def mix(corpus: CharCorruptionDataset, questions: str) -> ConcatDataset:
    """A text and a TSV of questions, to be read together in pretraining. Raises UserError as NameDataset does.

    The questions are learnt whole, like any other text. Their answers decide which of a document's names salient cuts leave.
    """
    pairs = NameDataset(corpus, questions, whole=True)
    corpus.learn_names(pairs.places)
    return ConcatDataset([corpus, pairs])


def encode(text: str, stoi: dict[str, int]) -> Tensor:
    """(len(text),) int64 indices. Raises KeyError for a character that the vocabulary lacks."""
    return torch.tensor([stoi[character] for character in text], dtype=torch.long)


def prompts_of(questions: Sequence[str], stoi: dict[str, int]) -> list[list[int]]:
    """What a model reads before it answers: each question and MASK, as indices."""
    return [encode(question + MASK_CHAR, stoi).tolist() for question in questions]


def decode(indices: Iterable[int], itos: dict[int, str]) -> str:
    """The text of these indices."""
    return "".join(itos[index] for index in indices)


def unknown_characters(text: str, stoi: dict[str, int]) -> str:
    """The characters of the text that the vocabulary lacks, sorted; the two sentinels count as lacking."""
    return "".join(sorted(set(text) - (stoi.keys() - {PAD_CHAR, MASK_CHAR})))


def main() -> None:
    """Print the corpus's size and four examples of the dataset that the command line names."""
    parser = Parser(description="Print four examples of a dataset.")
    parser.add_argument("dataset_type", choices=("namedata", "charcorruption"))
    chosen = parser.parse_args().dataset_type

    dataset = CharCorruptionDataset.from_file("wiki.txt", block_size=128)
    print(f"data has {dataset.n_characters} characters, {dataset.vocab_size} unique.")
    if chosen == "namedata":
        questions = read_text("birth_places_train.tsv")
        with blaming("birth_places_train.tsv"):
            dataset = NameDataset(dataset, questions)
    for _, (x, y) in zip(range(4), dataset, strict=False):
        print("x:", decode(x.tolist(), dataset.itos))
        print("y:", decode(y.tolist(), dataset.itos))


if __name__ == "__main__":
    sys.exit(run_reporting_errors(main))
