"""What is graded, what each part is worth, and the forms that the result takes: Gradescope's JSON, and a table."""

import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

LONGEST = 3000  # characters of an output


@dataclass(frozen=True)
class Item:
    """A line of the rubric."""

    name: str
    points: int | None = None  # None: shown, but not graded
    visibility: str = "visible"


RUBRIC = {
    "nopretrain": Item("Without pretraining: files complete, at least one dev answer right", 5),
    "corruption": Item("Span corruption", 10),
    "vanilla dev": Item("Pretrained vanilla: at least 10% of dev", 5),
    "vanilla test": Item("Pretrained vanilla: at least 10% of test", 5, "after_published"),
    "variant dev": Item("Perceiver, synthesizer or rope: dev (not graded)"),
    "variant test": Item("Perceiver, synthesizer or rope: at least 5% of test", 8, "after_published"),
    "attention": Item("CausalSelfAttention against its equation (not graded)"),
    "cross": Item("CausalCrossAttention against its equation (not graded)"),
    "synthesizer": Item("SynthesizerAttention against its equation (not graded)"),
}


@dataclass
class Outcome:
    """The outcome of an item. Without a score, it was not graded here; `passed` is None if nobody can tell."""

    output: str
    score: float | None = None
    passed: bool | None = None

    def rank(self) -> tuple[float, bool, bool]:
        """Greater for the better of two outcomes of an item."""
        return self.score or 0.0, self.passed is not False, bool(self.passed)

    def __post_init__(self) -> None:
        """Show what a submission says as plain text and nothing else."""
        text = "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in self.output)
        self.output = text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


@dataclass
class Report:
    """The outcomes of all items."""

    grades_test: bool
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    leaderboard: dict[str, float] = field(default_factory=dict)
    for_instructor: list[str] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)  # of the parameters, as rewritten here, and predictions

    def settle(self, key: str, output: str, passed: bool | None) -> None:
        """All points for this item, or none; no score if it is not graded."""
        points = RUBRIC[key].points
        self.outcomes[key] = Outcome(output, None if points is None else float(points * bool(passed)), passed)

    def fail(self, keys: Iterable[str], why: str) -> None:
        """No points for these items."""
        for key in keys:
            graded = RUBRIC[key].points is not None and (self.grades_test or not key.endswith(" test"))
            self.outcomes[key] = Outcome(why, 0.0 if graded else None, False)

    @contextmanager
    def filling(self, *keys: str) -> Iterator[None]:
        """Fill in these items; if that raises, they fail, and the others are graded all the same."""
        try:
            yield
        except Exception:
            self.for_instructor.append(traceback.format_exc())
            self.fail(keys, "The grader failed here: tell the instructor.")

    def as_json(self, seconds: float) -> dict[str, Any]:
        """The form that Gradescope reads (gradescope-autograders.readthedocs.io, Autograder Specifications)."""
        tests = []
        for number, (key, item) in enumerate(RUBRIC.items(), start=1):
            outcome = self.outcomes[key]
            test = {
                "number": str(number),
                "name": item.name,
                "output": outcome.output,
                "output_format": "text",
                "visibility": item.visibility,
            }
            if outcome.score is not None:
                test |= {"score": outcome.score, "max_score": item.points}
            if outcome.passed is not None:
                test["status"] = "passed" if outcome.passed else "failed"
            tests.append(test)
        board = [{"name": name, "value": value} for name, value in self.leaderboard.items()]
        return {
            "tests": tests,
            "leaderboard": board,
            "execution_time": round(seconds, 1),
            "visibility": "visible",
            "stdout_visibility": "hidden",  # it shows all outcomes, and what is for the instructor
            "extra_data": {"sha256": self.hashes},
            "score": self.score(),
        }

    def score(self) -> float:
        """The sum of the scores."""
        return sum(outcome.score or 0.0 for outcome in self.outcomes.values())

    def table(self) -> str:
        """The outcomes and their sum, as text."""
        lines = []
        for key, item in RUBRIC.items():
            outcome = self.outcomes[key]
            got = "" if item.points is None else f"{'-' if outcome.score is None else f'{outcome.score:g}'} / {item.points}"
            mark = {True: "+", False: "-", None: " "}[outcome.passed]
            lines += [f"{mark} {item.name:<68}{got:>8}", *(f"    {line}" for line in outcome.output.splitlines())]
        all_points = sum(item.points or 0 for item in RUBRIC.values())
        graded = sum(RUBRIC[key].points or 0 for key, outcome in self.outcomes.items() if outcome.score is not None)
        rest = f", {all_points - graded} not graded here" if graded < all_points else ""
        return "\n".join([*lines, "", f"{self.score():g} of {graded} points{rest}"])
