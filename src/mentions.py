"""What a text says about questions: whether it names the person, and where in the person's line it has the place."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

REACHES = {  # where the text names a place
    "within reach": "the person's line names the place in the beginning from which examples are cut, seven eighths of the block",
    "beyond": "it names the place only after that: salient cuts, in recipes that have them, look up to twice as far",
    "never named": "no line that begins with the person's name and a full stop names the place",
    "person absent": "the text does not name the person",
}


def person_of(question: str) -> str | None:
    """Whom a question asks about: what stands between "Where was" and "born?"; None if it has another form."""
    found = re.fullmatch(r"\s*Where was (.+) born\?\s*", question)
    return found and found[1]


class Mention(NamedTuple):
    """What a text says about a question."""

    person: str | None  # None for a question of another form: then nothing else is known either
    person_in_text: bool | None  # anywhere
    place_offset: int | None  # where the person's line first names the place
    reach: str | None  # one of REACHES; None without a place


def look_up(questions: Sequence[str], places: Sequence[str] | None, documents: Sequence[str], shown: int) -> list[Mention]:
    """What the documents say about each question and its place; all but salient cuts are of a document's first `shown` characters."""
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
    """Where the text names a place, if all but salient cuts are of a line's first `shown` characters: one of REACHES."""
    if not named:
        return "person absent"
    if offset is None:
        return "never named"
    return "within reach" if offset + len(place) <= shown else "beyond"
