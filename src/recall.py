"""What a model says about each person, how sure it is, and what its text said: a record for each question.

The answer alone does not tell whether a model recalls a place or makes one up; a record has what helps to tell.
"""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import torch

from console import UserError
from corpus import MASK
from dataset import CharCorruptionDataset, decode, encode, prompts_of
from decoding import ANSWER_LENGTH, AT_A_TIME, likeliest_answers
from files import read_text, write_text
from mentions import REACHES, look_up
from model import GPT
from tables import are_right, split_rows

RUNNERS_UP = 4


@dataclass(frozen=True)
class Record:
    """A question and its answer. Log-probabilities are natural, of the whole answer and the mark that ends it.

    The prediction is the greedy answer; others, found by beam search, may be likelier. Those below 1/1000 are not listed.
    """

    question: str
    person: str | None  # None for a question of another form
    prediction: str
    log_probability: float
    runners_up: list[tuple[str, float]]  # the likeliest other answers, with their log-probabilities
    first_letter_entropy: float  # in nats
    person_in_text: bool | None
    place: str | None = None  # the right one, if it is known
    place_offset: int | None = None  # where the person's line first names it
    reach: str | None = None  # one of mentions.REACHES
    right: bool | None = None

    @property
    def confidence(self) -> float:
        """The probability that the model gives to the prediction."""
        return math.exp(self.log_probability)


def sure_and_right(records: Sequence[Record]) -> tuple[list[float], list[bool]]:
    """How sure the model is of each prediction, and which are known to be right."""
    return [record.confidence for record in records], [bool(record.right) for record in records]


def make_records(
    model: GPT, corpus: CharCorruptionDataset, questions: Sequence[str], places: Sequence[str] | None, predictions: Sequence[str]
) -> list[Record]:
    """The records of the model's predictions for some questions; `places` are the right ones, if they are known."""
    scores = score_predictions(model, corpus, questions, predictions, RUNNERS_UP)
    mentions = look_up(questions, places, corpus.data, corpus.longest)
    unknown = [None] * len(questions)
    right = unknown if places is None else are_right(predictions, places)
    rows = zip(questions, predictions, places or unknown, right, scores, mentions, strict=True)
    return [
        Record(
            question=question,
            prediction=said,
            log_probability=score.log_probability,
            runners_up=[(text, p) for answer, p in score.others if (text := decode(answer, corpus.itos)) != said][:RUNNERS_UP],
            first_letter_entropy=score.first_letter_entropy,
            place=place,
            right=is_right,
            **mention._asdict(),
        )
        for question, said, place, is_right, score, mention in rows
    ]


# ---------------------------------------------------------------- how sure


class Score(NamedTuple):
    """How likely an answer is to the model."""

    log_probability: float
    first_letter_entropy: float
    others: list[tuple[list[int], float]]  # likely answers, this one perhaps among them, with their log-probabilities


def score_predictions(
    model: GPT, corpus: CharCorruptionDataset, questions: Sequence[str], predictions: Sequence[str], n_others: int
) -> list[Score]:
    """`score_answers` for texts."""
    said = [encode(prediction, corpus.stoi).tolist() for prediction in predictions]
    return score_answers(model, prompts_of(questions, corpus.stoi), said, MASK, n_others)


@torch.inference_mode()
def score_answers(model: GPT, prompts: Sequence[list[int]], answers: Sequence[list[int]], end: int, n_others: int) -> list[Score]:
    """The Score of each answer to its prompt; with `n_others`, up to one more of the likeliest answers are looked for.

    Characters of an answer that do not fit the block do not count.
    """
    model.eval()
    device = next(model.parameters()).device
    scores = []
    for first in range(0, len(prompts), AT_A_TIME):
        some = range(first, min(first + AT_A_TIME, len(prompts)))
        texts = [[*prompts[n], *answers[n], end][: model.get_block_size() + 1] for n in some]
        longest = max(map(len, texts))
        idx = torch.tensor([text + [end] * (longest - len(text)) for text in texts], device=device)  # (B, longest)
        log_probabilities = model(idx[:, :-1])[0].cpu().double().log_softmax(dim=-1)  # (B, longest - 1, V)
        of_next = log_probabilities.gather(2, idx[:, 1:, None].cpu())[:, :, 0]  # (B, longest - 1)
        others: list[list[tuple[list[int], float]]] = [[] for _ in some]
        if n_others:  # one more: the answer itself is probably among them
            others = likeliest_answers(model, [prompts[n] for n in some], ANSWER_LENGTH, end, n_others + 1)
        for row, number in enumerate(some):
            start = len(prompts[number]) - 1  # the position that predicts the first letter
            at_start = log_probabilities[row, start]
            log_probability = of_next[row, start : len(texts[row]) - 1].sum().item()
            scores.append(Score(log_probability, -(at_start.exp() * at_start).sum().item(), others[row]))
            if not math.isfinite(log_probability):
                raise UserError("the model's answers have no probability: its parameters hold numbers that are too large, or damaged")
    return scores


# ---------------------------------------------------------------- on disk


def write_records(path: str | Path, records: Iterable[Record]) -> None:
    """Write a line of JSON for each record."""
    write_text(path, "".join(json.dumps(asdict(record), ensure_ascii=False) + "\n" for record in records))


def read_records(path: str | Path) -> list[Record]:
    """What `write_records` wrote. Raises UserError if the file holds anything else."""
    records = []
    for number, line in enumerate(split_rows(read_text(path)), start=1):
        try:
            record = Record(**json.loads(line))
            check_types(record)
        except (TypeError, ValueError, OverflowError, RecursionError):
            raise UserError(f"{path}, line {number}: not a record of an answer: write the file with evaluate --details_path") from None
        records.append(record)
    return records


def check_types(record: Record) -> None:
    """Raise TypeError or ValueError if a field has the wrong type, or holds a lone surrogate, which no UTF-8 can."""
    json.dumps(asdict(record), ensure_ascii=False).encode()
    for field in fields(Record):
        value = getattr(record, field.name)
        if not (FITS[field.name](value) if field.name in FITS else isinstance(value, field.type)):
            raise ValueError(field.name)


def is_log_probability(value: Any) -> bool:
    return isinstance(value, float | int) and float(value) <= 1e-6


FITS: dict[str, Callable[[Any], bool]] = {  # whether a value fits that field; other fields go by their type
    "log_probability": is_log_probability,
    "runners_up": lambda value: isinstance(value, list) and all(isinstance(said, str) and is_log_probability(p) for said, p in value),
    "first_letter_entropy": lambda value: isinstance(value, float | int) and float(value) >= -1e-6,
    "reach": lambda value: value is None or value in REACHES,
}
