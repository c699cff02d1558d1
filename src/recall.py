"""What a model says about each person, how sure it is, and what its text said: a record for each question.

The answer alone does not tell whether a model recalls a place or makes one up; a record has what helps to tell.
"""

import json
import math
import re
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
from model import GPT
from tables import are_right, split_rows

RUNNERS_UP = 4
REACHES = {  # where the text names a place
    "within reach": "the person's line names the place within what pretraining shows, seven eighths of the block",
    "beyond": "it names the place only after that",
    "never named": "no line that begins with the person's name names the place",
    "person absent": "the text does not name the person",
}


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
    reach: str | None = None  # one of REACHES
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
            person=mention.person,
            prediction=said,
            log_probability=score.log_probability,
            runners_up=[(text, p) for answer, p in score.others if (text := decode(answer, corpus.itos)) != said][:RUNNERS_UP],
            first_letter_entropy=score.first_letter_entropy,
            person_in_text=mention.named,
            place=place,
            place_offset=mention.offset,
            reach=mention.reach,
            right=is_right,
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
    """The Score of each answer to its prompt; with `n_others`, up to one more of the likeliest answers are looked for."""
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


# ---------------------------------------------------------------- what the text says


def person_of(question: str) -> str | None:
    """Whom a question asks about: what stands between "Where was" and "born?"; None if it has another form."""
    found = re.fullmatch(r"\s*Where was (.+) born\?\s*", question)
    return found and found[1]


class Mention(NamedTuple):
    """What a text says about a question."""

    person: str | None  # None for a question of another form: then nothing else is known either
    named: bool | None  # anywhere
    offset: int | None  # where the person's line first names the place
    reach: str | None  # one of REACHES; None without a place


def look_up(questions: Sequence[str], places: Sequence[str] | None, documents: Sequence[str], shown: int) -> list[Mention]:
    """What the documents say about each question and its place; pretraining shows at most `shown` characters of a document."""
    people = [person_of(question) for question in questions]
    lines, named = lines_about(filter(None, people), documents)
    mentions = []
    for number, person in enumerate(people):
        offset = reach = None
        if places is not None and person is not None:
            offset = offset_in(lines.get(person, []), places[number])
            reach = reach_of(places[number], offset, person in named, shown)
        mentions.append(Mention(person, None if person is None else person in named, offset, reach))
    return mentions


def lines_about(people: Iterable[str], documents: Sequence[str]) -> tuple[dict[str, list[str]], set[str]]:
    """The documents that begin with a person's name and ". ", by person; and the people named anywhere."""
    wanted = set(people)
    longest = max(map(len, wanted), default=0)
    lines: dict[str, list[str]] = {}
    for document in documents:
        end = document.find(". ")
        while 0 <= end <= longest:  # a name may have dots of its own
            if document[:end] in wanted:
                lines.setdefault(document[:end], []).append(document)
            end = document.find(". ", end + 1)
    named = set(lines)
    elsewhere: dict[str, list[str]] = {}  # the others, by their first word: to look for each in each document would take hours
    for person in wanted - named:
        elsewhere.setdefault(next(iter(words_in(person)), ""), []).append(person)
    for document in documents if elsewhere else ():
        for word in elsewhere.keys() & {*words_in(document), ""}:
            # `in` first: it is far faster than a search for whole words
            named.update(person for person in elsewhere[word] if person in document and found_in(document, person) is not None)
    return lines, named


def words_in(text: str) -> list[str]:
    """The words of a text, in order."""
    return re.findall(r"\w+", text)


def found_in(text: str, name: str) -> int | None:
    """Where a text first has a name as a whole word (Russia, not Russian), in characters from its beginning."""
    found = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)
    return found and found.start()


def offset_in(lines: Sequence[str], place: str) -> int | None:
    """The smallest of the offsets at which the lines name a place."""
    return min((offset for line in lines if (offset := found_in(line, place)) is not None), default=None)


def reach_of(place: str, offset: int | None, named: bool, shown: int) -> str:
    """Whether pretraining, which shows at most `shown` characters of a line, can have shown a place: one of REACHES."""
    if not named:
        return "person absent"
    if offset is None:
        return "never named"
    return "within reach" if offset + len(place) <= shown else "beyond"


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
    """Raise TypeError or ValueError if a field has the wrong type, or holds a lone surrogate, which no page can."""
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
