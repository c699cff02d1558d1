"""The main job in miniature: London, no pretraining, vanilla and perceiver, on an invented world of a few hundred people.

    python src/demo.py        (or: make demo)

All files land in demo/.
"""

import preflight  # noqa: F401 - before anything that may be missing

# isort: split
import math
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from checkpoint import load_model
from console import Parser, UserError, run_reporting_errors, typed
from dataset import CharCorruptionDataset
from handout import DEV, PARTS, TEXT, TRAIN
from inventions import read_taught
from make_corpus import write_world
from page import write_page
from recall import make_records
from recipes import RECIPES
from reproduce import ROOT, path_from, reproduce
from tables import are_right, read_predictions, read_questions

PEOPLE = 450
FOLDER = Path("demo")
ANSWERS = "birth_test.tsv"
MODELS = {"nopretrain": "vanilla, no pretraining", "vanilla": "vanilla, pretrained", "perceiver": "perceiver, pretrained"}


def main() -> int:
    """Run an edition's commands, then print the table; the exit code is that of the first command that failed."""
    Parser(description="Run the whole experiment on a small scale, in demo/.").parse_args()
    started = time.monotonic()
    FOLDER.mkdir(exist_ok=True)
    refuse_other_files()
    print(f"The main job on a small scale: an invented world of {PEOPLE} people instead of 2937, and a model a quarter of the size.")
    write_world(PEOPLE, seed=1, out=FOLDER, answers=FOLDER / ANSWERS)
    if code := reproduce("perceiver", "quick", FOLDER):
        if code == 2:  # a checkpoint of another version's recipe, say
            print(f"To begin anew instead, delete the folder {FOLDER}.")
        return code
    write_report()
    print_table()
    print(f"\nDone in {time.monotonic() - started:.0f} s. The files are in {FOLDER}/; the curves: tensorboard --logdir {FOLDER}/expt/")
    print(f"What it knows and what it makes up, on a page: {FOLDER}/report.html")
    run, grade = (typed(["python", path_from(Path(), ROOT / script)]) for script in ("src/run.py", "autograder/grade.py"))
    question = read_questions(FOLDER / DEV)[0][0]
    ask = f"ask vanilla {FOLDER}/{TEXT} --recipe quick --reading_params_path {FOLDER}/vanilla.finetune.params"
    print(f'Ask it yourself: {run} {ask} "{question}"')
    print(f"What a grader would say: {grade} {FOLDER}/assignment5.zip --data {FOLDER} --recipe quick")
    return 0


def refuse_other_files() -> None:
    """Raise UserError if the folder has other files by the names of the world's."""
    with TemporaryDirectory() as world:
        write_world(PEOPLE, seed=1, out=Path(world), answers=Path(world, ANSWERS))
        for path in sorted(Path(world).iterdir()):
            there = FOLDER / path.name
            if there.exists() and there.read_bytes() != path.read_bytes():
                raise UserError(f"{there} is not this demo's: move it elsewhere, or delete the folder {FOLDER}")


def write_report() -> None:
    """Write the page of the three models' answers to the dev questions."""
    corpus = CharCorruptionDataset.from_file(FOLDER / TEXT, RECIPES["quick"].block_size)
    questions, places = read_questions(FOLDER / DEV)
    runs = {}
    for part, name in MODELS.items():
        predictions = read_predictions(FOLDER / PARTS[part][1])
        runs[name] = make_records(load_model(FOLDER / PARTS[part][0]), corpus, questions, places, predictions)
    write_page(FOLDER / "report.html", runs, read_taught(FOLDER / TRAIN))


def print_table() -> None:
    """Print a few answers, then the accuracies on dev, each with its standard error."""
    questions, places = read_questions(FOLDER / DEV)
    rows = {'always "London"': ["London"] * len(questions)}
    rows |= {name: read_predictions(FOLDER / PARTS[part][1]) for part, name in MODELS.items()}
    print("\nWhat the pretrained model says, and what its text said:")
    for question, said, place in list(zip(questions, rows[MODELS["vanilla"]], places, strict=True))[:8]:
        print(f"  {question:<45} {said:<20} {'right' if said == place else place}")
    print(f"\nBirth places of {len(questions)} people about whom the model was asked nothing in training:")
    for name, predictions in rows.items():
        total, correct = len(places), sum(are_right(predictions, places))
        share = (correct + 1) / (total + 2)  # Laplace's rule of succession
        error = math.sqrt(share * (1 - share) / total)
        print(f"  {name:<24} {correct:3.0f} right  {100 * correct / total:5.1f}%  (standard error {100 * error:.1f})")
    print("  The standard errors take the share for (right + 1) / (asked + 2): none right does not mean none ever.")


if __name__ == "__main__":
    sys.exit(run_reporting_errors(main))
