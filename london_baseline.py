"""The accuracy of answering "London" to every question of birth_dev.tsv."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "src"))
import python_version  # noqa: F401 - before what older Pythons don't understand

# isort: split
from console import UserError, run_reporting_errors
from tables import read_questions


def main() -> None:
    """Print it."""
    _, places = read_questions("birth_dev.tsv")
    if places is None:
        raise UserError("birth_dev.tsv has no places: a tab and a place belong after each question")
    correct, total = float(places.count("London")), float(len(places))
    print(f"Correct: {correct} out of {total}: {100 * correct / total}%")


if __name__ == "__main__":
    sys.exit(run_reporting_errors(main))
