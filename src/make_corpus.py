"""Write an invented world of people, in files with the names and statistics of the assignment's.

    python src/make_corpus.py --people 2937 --seed 0 --out DIR

DIR gets `wiki.txt`, `birth_places_train.tsv`, `birth_dev.tsv` and `birth_test_inputs.tsv`. Person i is a function of
(seed, i) alone: the files are the same each time, byte for byte, and are written in constant memory, whatever their size.
"""

import python_version  # noqa: F401 - before what older Pythons don't understand

# isort: split
import math
import random
import re
import string
import sys
from bisect import bisect_right
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import TextIO

import make_corpus_words as words
from console import Parser, UserError, number, run_reporting_errors
from files import written_whole
from handout import DEV, TEST, TEXT, TRAIN

DEV_SHARE, TEST_SHARE = 500 / 2937, 437 / 2937  # of all people, as in the assignment
REACH = 112  # characters of a line from which all but salient cuts are made
NAMED_LATE, UNNAMED = 0.034, 0.042  # shares of lines that name the place beyond the reach, or nowhere
AT_HOME = 0.55  # share of people born where their culture is at home
REGION_ANSWERS = 0.12  # share of people for whom only the region is known

# ---------------------------------------------------------------- the words, parsed


@dataclass(frozen=True)
class Region:
    """A country or one of its parts, with the cities that people are born in."""

    name: str
    adjective: str
    weight: float
    cities: tuple[str, ...]
    city_weights: tuple[float, ...]  # cumulative


@dataclass(frozen=True)
class Culture:
    """Names, and the indices of the regions where their bearers are at home."""

    home: tuple[int, ...]
    first: tuple[str, ...]
    last: tuple[str, ...]
    family_name_first: bool


def parse_region(line: str) -> Region:
    name, adjective, weight, cities = (field.strip() for field in line.split("|"))
    cities, _, times = zip(*(city.strip().partition("*") for city in cities.split(",")), strict=True)
    weights = accumulate(float(factor or 1) / (rank + 1) ** 1.2 for rank, factor in enumerate(times))
    return Region(name, adjective, float(weight), cities, tuple(weights))


def parse_culture(line: str) -> Culture:
    home, first, last = (field.strip() for field in line.split("|"))
    names = [region.name for region in REGIONS]
    indices = tuple(names.index(name) for name in home.split(", "))
    first, last = (tuple(name.replace("_", " ") for name in text.split()) for text in (first, last))
    return Culture(indices, first, last, home in words.FAMILY_NAME_FIRST)


def items(text: str) -> list[str]:
    return [item.strip() for item in text.replace("\n", " ").split(",")]


def lines(text: str) -> list[str]:
    return text.strip().split("\n")


REGIONS = [parse_region(line) for line in lines(words.REGIONS)]
CULTURES = [parse_culture(line) for line in lines(words.CULTURES)]
OCCUPATIONS, TRADES = items(words.OCCUPATIONS), items(words.TRADES)
BORN, BORN_LIVING, BORN_DEAD = lines(words.BORN), lines(words.BORN_LIVING), lines(words.BORN_DEAD)
BORN_LATE, BORN_UNNAMED, MORE = lines(words.BORN_LATE), lines(words.BORN_UNNAMED), lines(words.MORE)
REGION_WEIGHTS = [region.weight for region in REGIONS]
MONTHS = items("January, February, March, April, May, June, July, August, September, October, November, December")
ALL_WORDS = words.REGIONS + words.CULTURES + words.OCCUPATIONS + words.BORN + words.BORN_LIVING + words.BORN_DEAD + words.MORE
ALPHABET = "".join(sorted(set(ALL_WORDS + string.ascii_uppercase + string.digits + "?") - set("\n|{}*_")))

# the pairs of a first and a last name that go together, numbered culture by culture
PAIR_ENDS = list(accumulate(len(culture.first) * len(culture.last) for culture in CULTURES))
N_PAIRS = PAIR_ENDS[-1]


# ---------------------------------------------------------------- one person


@dataclass(frozen=True)
class Person:
    """What the files say about somebody."""

    name: str
    place: str
    text: str

    @property
    def question(self) -> str:
        return f"Where was {self.name} born?"

    @property
    def line(self) -> str:
        return f"{self.name}. {self.text}"


def make_person(seed: int, index: int) -> Person:
    """Person `index` of the world `seed`."""
    rng = random.Random(f"{seed} person {index}")
    name, family_name, culture = make_name(seed, index, rng)
    place, phrase, region = make_place(rng, culture, name)
    fact = rng.random()
    wanted = "unnamed" if fact < UNNAMED else "late" if fact < UNNAMED + NAMED_LATE else "early"
    for _ in range(1000):  # until the text names the place where it should
        person = Person(name, place, make_text(rng, wanted, name, family_name, phrase, region))
        named = re.search(rf"\b{re.escape(place)}\b", person.line)
        if wanted == ("unnamed" if not named else "late" if named.end() > REACH else "early"):
            break
    else:
        raise UserError(f"no text for {wanted!r} people fits {place}: see BORN and what follows it in make_corpus_words.py")
    if index == 0:  # so that every world, however small, has the same vocabulary, and all questions fit it
        person = replace(person, text=f"{person.text} The type that {family_name} cut: {ALPHABET}")
    return person


def make_name(seed: int, index: int, rng: random.Random) -> tuple[str, str, Culture]:
    """A full name that nobody else in the world has, its family name, and its culture.

    The pairs are used in a scattered order, and again with initials once they run out.
    """
    start, stride = scatter(seed)
    lap, number = index // N_PAIRS, (start + stride * index) % N_PAIRS
    which = bisect_right(PAIR_ENDS, number)
    culture = CULTURES[which]
    first, last = divmod(PAIR_ENDS[which] - 1 - number, len(culture.last))
    parts = [culture.first[first]]
    if not culture.family_name_first and rng.random() < 0.18:
        parts.append(rng.choice(culture.first))
    while lap:
        lap, letter = divmod(lap - 1, 26)
        parts.append(f"{chr(ord('A') + letter)}.")
    parts.append(culture.last[last])
    return " ".join(parts), parts[0 if culture.family_name_first else -1], culture


@cache
def scatter(seed: int) -> tuple[int, int]:
    """Where a world begins in the numbered pairs, and the stride that visits them all before it comes back."""
    rng = random.Random(f"{seed} names")
    while True:
        start, stride = rng.randrange(N_PAIRS), rng.randrange(N_PAIRS)
        if math.gcd(stride, N_PAIRS) == 1:
            return start, stride


def make_place(rng: random.Random, culture: Culture, name: str) -> tuple[str, str, Region]:
    """The place of birth, how the text puts it, and its region."""
    while True:
        choice = culture.home if rng.random() < AT_HOME else range(len(REGIONS))
        region = REGIONS[rng.choices(choice, [REGION_WEIGHTS[index] for index in choice])[0]]
        city = rng.choices(region.cities, cum_weights=region.city_weights)[0]
        style = rng.random()
        place = region.name if style < REGION_ANSWERS else city
        phrase = f"{city}, {region.name}" if style > 0.6 else place
        if place not in name:  # nobody called Lincoln is born there: the line would seem to name it at once
            return place, phrase, region


def make_text(rng: random.Random, wanted: str, name: str, family_name: str, phrase: str, region: Region) -> str:
    """One to four sentences about a person, or seven; `wanted` says where they name the birth place, `phrase`."""
    year = rng.randrange(1790, 1990)
    dead = year < 1920 or rng.random() < 0.15
    occupation = rng.choice(OCCUPATIONS)
    death = year + rng.randrange(35, 90 if year < 1920 else 36)
    other = rng.choice(REGIONS)
    values = {
        "N": name,
        "S": family_name,
        "P": phrase,
        "D": make_date(rng, year),
        "Y": year,
        "E": make_date(rng, death),
        "F": death,
        "V": "was" if dead else "is",
        "J": with_article(f"{region.adjective} {occupation}"),
        "A": region.adjective,
        "O": occupation,
        "T": rng.choice(TRADES),
        "Q": rng.choices(other.cities, cum_weights=other.city_weights)[0],
        "R": year + rng.randrange(20, 36),
        "G": rng.randrange(11, 20),
        "B": rng.choice(("two", "three", "four", "five", "seven", "nine")),
    }
    first = {"early": BORN + (BORN_DEAD if dead else BORN_LIVING), "late": BORN_LATE, "unnamed": BORN_UNNAMED}
    n_more = rng.choices((0, 1, 2, 3, 6), (42, 41, 12, 4, 1))[0]
    return " ".join(pattern.format(**values) for pattern in [rng.choice(first[wanted]), *rng.sample(MORE, n_more)])


def make_date(rng: random.Random, year: int) -> str:
    return f"{rng.randrange(1, 29)} {rng.choice(MONTHS)} {year}"


def with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'AEIO' else 'a'} {noun}"  # a Ukrainian


# ---------------------------------------------------------------- the files


def write_world(people: int, seed: int, out: Path, absent: float = 0.0, answers: Path | None = None) -> None:
    """Write the four files of a world into `out`, and the places of the test people to `answers`.

    `absent` is the share of dev and test people whom the text leaves out.
    """
    n_dev, n_test = round(people * DEV_SHARE), round(people * TEST_SHARE)
    n_train = people - n_dev - n_test
    paths = [out / name for name in (TEXT, TRAIN, DEV, TEST)]
    if answers is not None and answers.resolve() in [path.resolve() for path in paths]:
        raise UserError(f"{answers} is one of the world's four files: the answers need one of their own")
    with ExitStack() as stack:

        def opened(path: Path) -> TextIO:
            temporary = stack.enter_context(written_whole(path))
            return stack.enter_context(temporary.open("w", encoding="utf-8", newline="\n"))

        wiki, train, dev, test = (opened(path) for path in paths)
        gold = opened(answers) if answers else None
        for index in range(people):
            person = make_person(seed, index)
            row = f"{person.question}\t{person.place}\n"
            if index < n_train:
                train.write(row)
            elif index < n_train + n_dev:
                dev.write(row)
            else:
                test.write(f"{person.question}\n")
                if gold:
                    gold.write(row)
            if index < n_train or random.Random(f"{seed} absent {index}").random() >= absent:
                wiki.write(f"{person.line}\n")


def main() -> None:
    """Write the world that the command line asks for."""
    parser = Parser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--people", type=number(int, 10), default=2937, help="how many (default %(default)s)")
    parser.add_argument("--seed", type=number(int, 0), default=0, help="of the world (default %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="an existing folder for the four files")
    parser.add_argument(
        "--absent", type=number(float, 0, 1), default=0.0, help="share of the dev and test people whom the text leaves out (default 0)"
    )
    parser.add_argument("--answers", type=Path, help="where the places of the test people go (not written by default)")
    args = parser.parse_args()
    for path in (*(args.out / name for name in (TEXT, TRAIN, DEV, TEST)), *filter(None, [args.answers])):
        if path.is_file():  # perhaps the course's
            raise UserError(f"{path} is there already: name another folder, or delete it")
    write_world(args.people, args.seed, args.out, args.absent, args.answers)


if __name__ == "__main__":
    sys.exit(run_reporting_errors(main))
