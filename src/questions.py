"""Questions as a model reads them, and what it says to them."""

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

import processes
from console import UserError, blaming
from corpus import MASK
from dataset import CharCorruptionDataset, decode, prompts_of, unknown_characters
from decoding import ANSWER_LENGTH, AT_A_TIME, answer
from model import GPT
from tables import Table, read_questions


def read_table(path: str | Path, model: GPT, corpus: CharCorruptionDataset, unknown: str) -> Table:
    """The questions of a file, checked. Raises UserError if the model can't read one."""
    questions, places = read_questions(path)
    with blaming(path):
        questions = check_questions(questions, model, corpus, unknown)
    if too_long := sum(len(place) > ANSWER_LENGTH for place in places or ()):
        print(f"Of the places of {path}, {too_long} can't be answered: an answer has at most {ANSWER_LENGTH} characters.")
    return Table(questions, places)


def read_graded(path: str | Path, model: GPT, corpus: CharCorruptionDataset, unknown: str) -> Table:
    """The same for a file with places to compare answers with. Also raises UserError if there are none."""
    table = read_table(path, model, corpus, unknown)
    if table.places is None:
        raise UserError(f"{path} has no places to compare answers with: name a file that has them, or leave the flag out")
    return table


def check_questions(questions: Sequence[str], model: GPT, corpus: CharCorruptionDataset, unknown: str) -> list[str]:
    """The questions as the model can read them: characters that the corpus lacks are left out if `unknown` is "skip".

    Raises UserError if it is not and there are any, or if a question is too long.
    """
    lacking = [unknown_characters(question, corpus.stoi) for question in questions]
    listed = [f"line {line} {characters!r}" for line, characters in enumerate(lacking, start=1) if characters]
    if listed and unknown != "skip":
        most = ", ".join(listed[:20]) + (f" and {len(listed) - 20} more lines" if len(listed) > 20 else "")
        raise UserError(f"characters that the pretraining corpus lacks: {most}: fix these, or leave them out with --unknown skip")
    kept = [question.translate(str.maketrans("", "", characters)) for question, characters in zip(questions, lacking, strict=True)]
    if listed:
        n_characters = sum(map(len, questions)) - sum(map(len, kept))
        print(f"{n_characters} characters that the pretraining corpus lacks are left out, in {len(listed)} questions.")
    for line, question in enumerate(kept, start=1):
        if len(question) + 1 >= model.get_block_size():
            raise UserError(f"line {line}: a question of {len(question)} characters leaves no room to answer it")
    return kept


def answer_questions(model: GPT, corpus: CharCorruptionDataset, questions: Sequence[str], silent: bool = False) -> list[str]:
    """What the model says to each question: up to 32 greedily chosen characters after the MASK, until the next MASK."""
    prompts = prompts_of(questions, corpus.stoi)
    order = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))  # for batches of similar lengths
    mine = order[processes.rank() :: processes.count()]
    answers: dict[int, str] = {}
    with tqdm(total=len(mine), unit="q", dynamic_ncols=True, disable=silent or processes.rank() > 0) as bar:
        for first in range(0, len(mine), AT_A_TIME):
            numbers = mine[first : first + AT_A_TIME]
            found = answer(model, [prompts[number] for number in numbers], ANSWER_LENGTH, end=MASK)
            answers |= {number: decode(indices, corpus.itos) for number, indices in zip(numbers, found, strict=True)}
            bar.update(len(numbers))
    for theirs in processes.gathered(answers):
        answers |= theirs
    return [answers[number] for number in range(len(prompts))]
