"""The accuracy of answering "London" to every question of birth_dev.tsv."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "src"))
from utils import evaluate_places, read_questions, run_reporting_errors


def main() -> None:
    questions, _ = read_questions("birth_dev.tsv")
    total, correct = evaluate_places("birth_dev.tsv", ["London"] * len(questions))
    print(f"Correct: {correct} out of {total}: {100 * correct / total}%")


if __name__ == "__main__":
    sys.exit(run_reporting_errors(main))
