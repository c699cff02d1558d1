"""Proper names in a document, and which of them salient cuts keep: the one most likely to be what questions ask for."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from functools import lru_cache
from typing import NamedTuple

TITLE_END = re.compile(r"(?<!\b\w)\. ")  # but not after an initial
WORD = re.compile(r"\w+(?:['’-]\w+)*")
WORD_OR_SIGN = re.compile(r"\w+|[^\w\s]")

Context = tuple[str, ...]  # words and punctuation before a name


class Name(NamedTuple):
    """A proper name in a document, and what stands before it."""

    text: str
    order: int  # how many of the document's names stand before it
    start: int  # where the text after the document's title begins
    at: int  # where the name begins
    end: int  # and ends
    contexts: tuple[Context, ...]  # the last two words or punctuation marks before it, the last one, and none

    @property
    def cut(self) -> tuple[int, int, int]:
        """(length, start, span) for `corrupt` to mask all but the title and this name: "Ann Lee. ⁇Ulm⁇Born in "."""
        return self.end, self.start, self.at - self.start


@lru_cache(maxsize=1 << 14)  # each document comes up again every epoch
def proper_names(document: str, longest: int) -> tuple[Name, ...]:
    """The capitalised words after a document's title, adjacent ones joined: salient spans (Guu et al. 2020, 2002.08909).

    The title ends with the first ". " that does not follow an initial. Names are left out that directly follow the title, are
    also in it ("Ray's" is another name than "Ray"), do not end within the first `searched(longest)` characters, or have more
    than `longest` characters together with the title. Nothing from character `searched(longest)` + 2 on matters.
    """
    text = document[: searched(longest) + 2]  # the two extra ones show whether a name that ends before them continues
    end_of_title = TITLE_END.search(text)
    if end_of_title is None:
        return ()
    start = end_of_title.end()
    names: list[tuple[int, int]] = []
    for word in WORD.finditer(text, start):
        if word[0][0].isupper():
            goes_on = names and text[names[-1][1] : word.start()] == " "
            names.append((names.pop()[0] if goes_on else word.start(), word.end()))
    kept = [
        (at, end)
        for at, end in names
        if at > start and end <= searched(longest) and start + end - at <= longest and text[at:end] not in text[:start]
    ]
    return tuple(Name(text[at:end], order, start, at, end, left_contexts(text[start:at])) for order, (at, end) in enumerate(kept))


def searched(longest: int) -> int:
    """How many of a document's characters are searched for names: more than a block holds, as what was masked may be cut off there."""
    return 2 * longest


def left_contexts(text: str) -> tuple[Context, ...]:
    """The last two words or punctuation marks of a text, the last one, and none: for "March 1900 in", ("#", "in"), ("in",) and ()."""
    words = ["#" if word.isdigit() else word for word in WORD_OR_SIGN.findall(text)[-2:]]
    return tuple(tuple(words[cut:]) for cut in range(len(words) + 1))


class TellingNames:
    """Picks from a document's proper names the one that questions are most likely to ask for, or all until it has learnt more."""

    def __init__(self, longest: int) -> None:
        self.longest = longest  # characters of a title and a name together, at most
        self.places: Set[str] = frozenset()  # names that are answers to questions
        self.shares: dict[Context, float] = {}  # by context: the share of its names that are their document's first of `places`

    def learn(self, documents: Iterable[str], places: Set[str]) -> None:
        """Learn from documents the contexts in which these places occur as names.

        From names to contexts, and from contexts to more names: a round of Snowball (Agichtein & Gravano 2000). A document's first
        such name counts: texts name a town before the region it lies in ("Born in Ulm, Baden"), and a birth before what follows it.
        """
        seen: Counter[Context] = Counter()
        found: Counter[Context] = Counter()
        for document in documents:
            names = proper_names(document, self.longest)
            first = next((name for name in names if name.text in places), None)
            if first is not None:  # a document without one tells nothing: its place may be one that nobody asked about
                seen.update(context for name in names for context in name.contexts)
                found.update(first.contexts)
        self.places = places
        self.shares = {context: found[context] / n for context, n in seen.items() if n > 3}

    def of(self, document: str) -> Sequence[Name]:
        """The one name of a document that is most likely to be an answer, or all if nothing was learnt."""

        def likelihood(name: Name) -> float:
            share = next(self.shares[context] for context in name.contexts if context in self.shares)  # in the end, that of ()
            share *= 0.75**name.order  # later ones are less likely; 0.6 to 0.85 do as well (docs/knowledge.md)
            return share if name.text in self.places else share / 2  # not an answer to these questions, but perhaps to others

        names = proper_names(document, self.longest)
        return [max(names, key=likelihood)] if names and self.shares else names
