"""Where a file comes from: its card, which is JSON beside it, and whether a text is the bundled one."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from files import file_sha256, sha256, write_text

BUNDLED_SHA256 = {  # of the bundled files, whose people are invented
    "wiki.txt": "a250bedae2637cad7702e82e1140375e1a85819d89366074a94f162c63012fe1",
    "birth_places_train.tsv": "3e27747ae6effb29e92c6a675e011b24ec7bd10de30e30ae27fd382a89a8a3f4",
    "birth_dev.tsv": "976cd967d2f853767652001053ba1aa738d2272cf96d1469a4c89cee293f1849",
    "birth_test_inputs.tsv": "9d4a88a611ac24afafe3a8f521e84c07666a53acb95c304af1c431899a0243e4",
}


def card_path(path: str | Path) -> Path:
    """The path of a file's card: JSON that says where the file comes from."""
    return Path(f"{path}.json")


def write_card(path: str | Path, facts: dict[str, Any]) -> None:
    """Write the card of the file at `path`; `facts` holds plain values. The card ends with the hashes of the file and of itself."""
    facts = facts | {"file_sha256": file_sha256(path)}
    facts |= {"card_sha256": sha256(json.dumps(facts))}
    write_text(card_path(path), json.dumps(facts, indent=2) + "\n")


def read_card(path: str | Path) -> dict[str, Any]:
    """The card of the file at `path`; an empty one if there is none, or if the file or the card has been changed since."""
    try:
        if not card_path(path).is_file():  # reading a pipe might never end
            return {}
        card = json.loads(card_path(path).read_text(encoding="utf-8"))
        card_hash = card.pop("card_sha256")
        intact = card_hash == sha256(json.dumps(card)) and card["file_sha256"] == file_sha256(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    return card if intact else {}


def told_by(card: dict[str, Any], part: str, name: str, kind: type) -> Any:
    """What a part of a card has under that name; None if it has nothing, or something of another type."""
    facts = card.get(part)
    found = facts.get(name) if isinstance(facts, dict) else None
    return found if isinstance(found, kind) else None


def recipe_of(card: dict[str, Any]) -> str | None:
    """The recipe of the run that a card of parameters describes; None if it does not say."""
    return told_by(card, "arguments", "recipe", str)


def n_head_of(card: dict[str, Any]) -> int | None:
    """The number of heads that a card of parameters gives; None if it does not say."""
    n_head = told_by(card, "recipe", "n_head", int)
    return n_head if n_head and n_head > 0 else None


def announce_bundled(text: str | Path, text_hash: str, tables: Iterable[str | Path | None] = ()) -> None:
    """If the text has, by its hash, the bundled people, who are invented, say so; if not, name the tables that still do.

    None and missing tables are skipped. Raises UserError if one can't be read.
    """
    if text_hash in BUNDLED_SHA256.values():
        print(f"{text} is the bundled text, whose people are invented: before handing in, replace all bundled files with the course's.")
        return
    for table in tables:
        if table and os.path.exists(table) and file_sha256(table) in BUNDLED_SHA256.values():
            cure = "if that is the course's, replace it, too, and redo what used it"
            print(f"{table} is the bundled one, about invented people, but the text is not: {cure}.")
