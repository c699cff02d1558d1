"""Tables of questions, with or without their places, and files of predictions; and which predictions are right."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from console import UserError, blaming
from files import read_text


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


class Table(NamedTuple):
    """Questions, and their places if the file has them."""

    questions: list[str]
    places: list[str] | None


def read_questions(path: str | Path) -> Table:
    """The questions of a TSV, without places if no line has a tab."""
    rows = split_rows(read_text(path))
    if not any("\t" in row for row in rows):
        for line, row in enumerate(rows, start=1):
            if not row.strip():  # its answer would be one too many for whoever compares them
                raise UserError(f"{path}, line {line}: the question is empty")
        return Table(rows, None)
    questions, places = zip(*split_pairs(rows, path), strict=True)
    return Table(list(questions), list(places))
