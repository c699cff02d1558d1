"""What confidence is worth: how often answers of a given confidence are right. `sure` holds probabilities, `right` the outcomes."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple


class Bin(NamedTuple):
    """Answers of similar confidence."""

    confidence: float  # their mean
    accuracy: float
    count: int


def reliability(sure: Sequence[float], right: Sequence[bool]) -> list[Bin]:
    """The answers in ten equal-width bins between 0 and 1, empty ones omitted (Guo et al. 2017, section 2)."""
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(10)]
    for confidence, is_right in zip(sure, right, strict=True):
        bins[min(int(confidence * len(bins)), len(bins) - 1)].append((confidence, is_right))
    return [Bin(sum(c for c, _ in some) / len(some), sum(r for _, r in some) / len(some), len(some)) for some in bins if some]


def calibration_error(sure: Sequence[float], right: Sequence[bool]) -> float:
    """The expected calibration error: the weighted mean gap between confidence and accuracy in these bins (Guo et al. 2017, equation 3)."""
    bins = reliability(sure, right)
    return sum(some.count * abs(some.confidence - some.accuracy) for some in bins) / max(1, len(sure))


def auroc(sure: Sequence[float], right: Sequence[bool]) -> float | None:
    """The probability that a right answer is surer than a wrong one, ties counting half; None unless there are both."""
    when_right = [confidence for confidence, is_right in zip(sure, right, strict=True) if is_right]
    when_wrong = sorted(confidence for confidence, is_right in zip(sure, right, strict=True) if not is_right)
    if not when_right or not when_wrong:
        return None
    won = sum(bisect_left(when_wrong, confidence) + bisect_right(when_wrong, confidence) for confidence in when_right) / 2
    return won / (len(when_right) * len(when_wrong))


class Coverage(NamedTuple):
    """The surest answers."""

    coverage: float  # their share of all answers
    risk: float  # the share of them that are wrong
    confidence: float  # of the least sure one


def risk_coverage(sure: Sequence[float], right: Sequence[bool]) -> list[Coverage]:
    """The outcome of giving only the surest answer, the two surest, and so on (El-Yaniv & Wiener 2010, section 2)."""
    ranked = sorted(zip(sure, right, strict=True), key=lambda pair: -pair[0])
    points, wrong = [], 0
    for given, (confidence, is_right) in enumerate(ranked, start=1):
        wrong += not is_right
        points.append(Coverage(given / len(ranked), wrong / given, confidence))
    return points


class Threshold(NamedTuple):
    """A confidence; how many answers are at least that sure (given) and how many are not (withheld), and how many of each are right."""

    confidence: float
    given: int
    given_right: int
    withheld: int
    withheld_right: int


def fit_threshold(sure: Sequence[float], right: Sequence[bool]) -> Threshold | None:
    """The confidence that best separates right answers (at or above it) from wrong ones (below it). None without answers.

    Among equally good ones, the highest, which gives the fewest answers.
    """
    if not sure:
        return None
    ranked = sorted(zip(sure, right, strict=True), reverse=True)
    options = [Threshold(float("inf"), 0, 0, len(ranked), sum(right))]
    for confidence, tied in groupby(ranked, key=lambda pair: pair[0]):  # equally sure answers are given together
        outcomes = [is_right for _, is_right in tied]
        _, given, given_right, withheld, withheld_right = options[-1]
        n, n_right = len(outcomes), sum(outcomes)
        options.append(Threshold(confidence, given + n, given_right + n_right, withheld - n, withheld_right - n_right))
    return max(options, key=lambda option: option.given_right + option.withheld - option.withheld_right)  # the first of equals
