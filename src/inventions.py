"""What a model makes up when it is wrong, and whether names explain it: was that place taught for somebody with a similar name?"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from mentions import person_of
from recall import Record
from tables import read_pairs

Taught = Sequence[tuple[str, str]]  # people and places
SHOWN = 12  # most frequent inventions
MOST = 10  # places that count as the most taught

LANGUAGES = {  # by a name's ending, letters and particles: a guess, good enough for groups but not for individuals
    "Slavic": r"(ov|ova|ev|eva|ski|sky|ska|ić|enko|chuk|vich)$|[čćžšđłńěř]",
    "Nordic": r"(sen|sson|strom|qvist|gaard)$|[øåæ]",
    "Spanish or Portuguese": r"(ez|eira|ares|ado|inho|illo)$|[ñãõ]",
    "Italian": r"(ini|etti|elli|otti|ucci|aldi|ano|ella)$",
    "French": r"(eau|eaux|ault|oux|ier|ard|ette|illon)$|[çêèî]",
    "German or Dutch": r"(mann|berg|stein|bach|meyer|huber|sch|stra|ijn)$|[äöüß]|\b(von|van)\b",
    "Arabic, Persian or Turkish": r"\b(al|bin|ibn|abd|abu)\b|(zadeh|oğlu|pour)$|[ışğ]",
    "South Asian": r"(singh|kumar|sharma|gupta|reddy|murthy|rao|khan)$",
    "East Asian": r"\b(kim|lee|park|li|wang|zhang|chen|liu|nguyen|tanaka|suzuki|sato)\b|(moto|mura|gawa|shima)$",
    "English": r"(son|ton|ley|ford|smith|wood|field|worth|ham|well)$",
}


def surname(person: str) -> str:
    """The last word of a name."""
    return person.split(" ")[-1]


def language(person: str) -> str | None:
    """A guess at the language that a name comes from; None if nothing gives it away."""
    return next((name for name, pattern in LANGUAGES.items() if re.search(pattern, person.lower())), None)


FEATURES: dict[str, Callable[[str], str | None]] = {
    "the same surname": surname,
    "the same first name": lambda person: person.split(" ")[0],
    "a name with the same first two letters": lambda person: person[:2],
    "a surname with the same first three letters": lambda person: surname(person)[:3],
    "a name of the same language (guessed)": language,
}


INVENTED = ("place", "made up", "right", "taught")  # the columns of `most_frequent`
FOLLOWED = ("the place was taught for somebody with", "share", "by chance", "of")  # those of `Follows.cells`


class Follows(NamedTuple):
    """How often an invented place was taught for somebody who shares the feature, and how often it would be by chance."""

    feature: str
    share: float
    by_chance: float  # if the same inventions were dealt out to the same people at random
    told: int  # how many inventions the shares are taken over: those about people whose feature is known

    @property
    def cells(self) -> list[str]:
        """As a row of a table."""
        return [self.feature, f"{self.share:.0%}", f"{self.by_chance:.0%}", str(self.told)]


def read_taught(path: str | Path | None) -> Taught:
    """The people and places of a finetuning table; nothing without one."""
    return [(person_of(question) or question, place) for question, place in read_pairs(path)] if path is not None else []


def wrong_answers(records: Sequence[Record]) -> list[Record]:
    """The wrong answers."""
    return [record for record in records if record.right is False]


def most_frequent(records: Sequence[Record], taught: Taught) -> list[tuple[str, int, int, int]]:
    """The most frequent inventions: place, how often invented, how often said and right, how often taught."""
    invented = Counter(record.prediction for record in wrong_answers(records))
    said_right = Counter(record.prediction for record in records if record.right)
    in_teaching = Counter(place for _, place in taught)
    return [(place, count, said_right[place], in_teaching[place]) for place, count in invented.most_common(SHOWN)]


def what_they_follow(records: Sequence[Record], taught: Taught) -> list[Follows]:
    """A `Follows` for each feature, over all wrong answers; `taught` holds the people and places of finetuning."""
    found = []
    for name, feature in FEATURES.items():
        places = defaultdict(set)
        for person, place in taught:
            places[feature(person)].add(place)
        wrong = [record for record in wrong_answers(records) if record.person is not None and feature(record.person) is not None]
        said = Counter(record.prediction for record in wrong)
        own = sum(record.prediction in places[feature(record.person)] for record in wrong)
        dealt = sum(count for record in wrong for place, count in said.items() if place in places[feature(record.person)])
        found.append(Follows(name, own / max(1, len(wrong)), dealt / max(1, len(wrong) ** 2), len(wrong)))
    return found


def among_most_taught(records: Sequence[Record], taught: Taught) -> tuple[float, float]:
    """The shares of the inventions, and of the right places of the same people, that are among the places taught most."""
    most = {place for place, _ in Counter(place for _, place in taught).most_common(MOST)}
    wrong = wrong_answers(records)
    made_up, true = sum(r.prediction in most for r in wrong), sum(r.place in most for r in wrong)
    return made_up / max(1, len(wrong)), true / max(1, len(wrong))
