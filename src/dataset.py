"""The two datasets: documents with a span cut out (pretraining), and questions with answers (finetuning).

    python src/dataset.py namedata          prints four questions with answers
    python src/dataset.py charcorruption    prints four corrupted documents

Both give pairs (x, y) of character indices, int64 tensors of block_size - 1 entries, y being what follows x.
"""

import sys

import torch
from torch import Tensor
from torch.utils.data import Dataset

from files import Parser, UserError, blaming, read_text, run_reporting_errors, split_pair, split_rows

PAD_CHAR = "\u25a1"  # □ fills up to the block's end; index 0
MASK_CHAR = "\u2047"  # ⁇ marks the cut and what was cut out, the answer's beginning and its end; index 1


def corrupt(document: str, length: int, start: int, span: int) -> str:
    """Cut document[start : start + span] out of its first `length` characters: prefix MASK suffix MASK masked.

    Span corruption with a single span (Raffel et al. 2020, section 3.1.4).
    """
    text = document[:length]
    return text[:start] + MASK_CHAR + text[start + span :] + MASK_CHAR + text[start : start + span]


def draw_cut(n_characters: int, block_size: int, length_draws: int = 1, generator: torch.Generator | None = None) -> tuple[int, int, int]:
    """A random (length, start, span) for `corrupt`, given the document's length.

    The length is uniform over 4 ... 7/8 of the block, or the largest of several such draws; all of a shorter document.
    The span is a quarter of it on average, exactly so from 4 characters on: uniform over 1 ... length/2 - 1, where odd
    lengths toss for the half.
    """

    def integer(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator))

    longest = min(block_size * 7 // 8, block_size - 2)  # two sentinels must fit beside it
    length = min(max(integer(4, longest) for _ in range(length_draws)), n_characters)
    span = integer(1, max(1, (length + integer(0, 1)) // 2 - 1))
    span = min(span, length)
    return length, integer(0, length - span), span


class CharCorruptionDataset(Dataset):
    """Item i is document i of a text, a line each, corrupted anew at every look (torch's default generator draws).

    With more `length_draws`, more of a document is kept.
    """

    MASK_CHAR = MASK_CHAR
    PAD_CHAR = PAD_CHAR

    def __init__(self, data: str, block_size: int, length_draws: int = 1) -> None:
        if block_size < 6:
            raise UserError(f"a block of {block_size} characters is too short for 4 of text and two sentinels")
        for sentinel in (PAD_CHAR, MASK_CHAR):
            if sentinel in data:
                number = data[: data.index(sentinel)].count("\n") + 1
                raise UserError(f"line {number} of the corpus holds {sentinel!r}, which marks masks and padding: take it out")
        characters = [PAD_CHAR, MASK_CHAR, *sorted(set(data))]
        self.stoi = {character: index for index, character in enumerate(characters)}
        self.itos = dict(enumerate(characters))
        self.block_size = block_size
        self.length_draws = length_draws
        self.vocab_size = len(characters)
        self.n_characters = len(data)
        self.data = data.split("\n")  # a last empty document, where the text ends with a newline, counts

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        document = self.data[index]
        text = corrupt(document, *draw_cut(len(document), self.block_size, self.length_draws))
        block = encode(text.ljust(self.block_size, PAD_CHAR), self.stoi)  # (block_size,)
        return block[:-1], block[1:]


class NameDataset(Dataset):
    """Item i is question i of a TSV with its place: question MASK place MASK, y blank over the question.

    With `whole`, y is not blank there: the question is to be learnt too, as a text like others.
    `pretraining_dataset` lends its vocabulary and block size. Raises UserError for a row that is no pair, is too long for
    the block, or holds a character that the vocabulary lacks.
    """

    MASK_CHAR = MASK_CHAR
    PAD_CHAR = PAD_CHAR

    def __init__(self, pretraining_dataset: CharCorruptionDataset, data: str, whole: bool = False) -> None:
        self.stoi, self.itos = pretraining_dataset.stoi, pretraining_dataset.itos
        self.block_size, self.vocab_size = pretraining_dataset.block_size, pretraining_dataset.vocab_size
        self.whole = whole
        self.data = split_rows(data)
        for line, row in enumerate(self.data, start=1):
            question, place = split_pair(row, line)
            if len(question + place) + 2 > self.block_size:
                raise UserError(f"line {line}: {len(question + place) + 2} characters do not fit the block of {self.block_size}")
            check_characters(question + place, self.stoi, line)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        question, place = split_pair(self.data[index], index + 1)
        text = f"{question}{MASK_CHAR}{place}{MASK_CHAR}".ljust(self.block_size, PAD_CHAR)
        block = encode(text, self.stoi)  # (block_size,)
        y = block[1:].clone()
        if not self.whole:
            y[: len(question) - 1] = self.stoi[PAD_CHAR]
        return block[:-1], y


def encode(text: str, stoi: dict[str, int]) -> Tensor:
    """(len(text),) of int64 indices."""
    return torch.tensor([stoi[character] for character in text], dtype=torch.long)


def check_characters(text: str, stoi: dict[str, int], line: int) -> None:
    """Raise UserError where the text, of that line, holds characters that the vocabulary lacks."""
    unknown = "".join(sorted(set(text) - stoi.keys()))
    if unknown:
        raise UserError(f"line {line}: the pretraining corpus has no {unknown!r}: add them to it, or take them out here")


def main() -> None:
    """Print the corpus's size and four examples of the dataset that the command line names."""
    parser = Parser(description="Print four examples of a dataset.")
    parser.add_argument("dataset_type", choices=("namedata", "charcorruption"))
    chosen = parser.parse_args().dataset_type

    text = read_text("wiki.txt")
    with blaming("wiki.txt"):
        dataset = CharCorruptionDataset(text, block_size=128)
    print(f"data has {dataset.n_characters} characters, {dataset.vocab_size} unique.")
    if chosen == "namedata":
        questions = read_text("birth_places_train.tsv")
        with blaming("birth_places_train.tsv"):
            dataset = NameDataset(dataset, questions)
    for _, (x, y) in zip(range(4), dataset, strict=False):
        print("x:", "".join(dataset.itos[index] for index in x.tolist()))
        print("y:", "".join(dataset.itos[index] for index in y.tolist()))


if __name__ == "__main__":
    sys.exit(run_reporting_errors(main))
