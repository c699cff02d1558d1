"""Collect what is handed in: assignment5.zip, with the code, the data and the outputs of one edition, or of all.

    bash collect_submission.sh [--edition perceiver|synthesizer|rope|all] [--folder FOLDER]

It first looks for whatever a grader would stumble over; if it finds anything, nothing is collected.
"""

import preflight  # noqa: F401 - before anything that may be missing

# isort: split
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from cards import announce_bundled
from checkpoint import load_model
from console import Parser, UserError, blaming, run_reporting_errors
from dataset import CharCorruptionDataset
from files import file_sha256, write_zip
from handout import ASKED_FOR, DEV, EDITION_VARIANTS, EDITIONS, PARTS, ROUNDING, TEST, TEXT, TRAIN, find_edition, parts_of, variant_of
from model import GPT
from questions import answer_questions, check_questions
from recipes import RECIPES
from tables import are_right, in_one_line, read_predictions, read_questions

ROOT = Path(__file__).parents[1]
ASKED_AGAIN = 20  # questions from each file of predictions


def main() -> int:
    """Check that everything is there and belongs together, then zip it. The exit code is 1 if something is wrong."""
    parser = Parser(prog="collect_submission.sh", description="Make assignment5.zip from the files in a folder.")
    parser.add_argument("--edition", choices=EDITIONS, help="whose outputs to hand in (default: inferred from what is there)")
    parser.add_argument("--folder", type=Path, default=ROOT, help="where data and outputs lie, and the zip goes (default: the project's)")
    args = parser.parse_args()
    edition = args.edition or find_edition(args.folder)

    zipped = args.folder / "assignment5.zip"
    Path(os.path.realpath(zipped)).unlink(missing_ok=True)  # lest an older one be handed in by mistake
    names = [TEXT, DEV, TRAIN, *(name for part in parts_of(edition) for name in PARTS[part])]
    problems = [f"{name} is missing" for name in (*names, TEST) if not (args.folder / name).is_file()]
    problems = problems or list(check_outputs(edition, args.folder))
    if problems:
        why = f"Problems found (the {edition} edition has {len(names)} files):"
        print(f"Nothing collected from {args.folder} (--folder names another). {why}", *problems, sep="\n  ", file=sys.stderr)
        return 1
    announce_bundled(args.folder / TEXT, file_sha256(args.folder / TEXT), [args.folder / name for name in (TRAIN, DEV, TEST)])
    if "rope" in EDITIONS[edition]:
        print("The RoPE edition's handout was not at hand: compare what the zip holds with your course's list.")
    files = {path.relative_to(ROOT).as_posix(): path for path in (ROOT / "src").rglob("*.py")}
    write_zip(zipped, files | {name: args.folder / name for name in names})
    print(f"{zipped}: the {edition} edition, {len(files) + len(names)} files, {zipped.stat().st_size / 1e6:.1f} MB")
    return 0


def check_outputs(edition: str, folder: Path) -> Iterator[str]:
    """What is wrong with the parameters and predictions of an edition; prints how many dev questions each gets right."""
    corpus = CharCorruptionDataset.from_file(folder / TEXT, block_size=128)
    for part in parts_of(edition):
        try:
            yield from check_part(part, folder, corpus)
        except UserError as error:
            yield str(error)


def check_part(part: str, folder: Path, corpus: CharCorruptionDataset) -> Iterator[str]:
    """The same for one model."""
    params, *outputs = PARTS[part]
    model = read_model(folder / params, variant_of(part), corpus)
    if part == "vanilla" and model.config.n_embd != RECIPES["handout"].n_embd:
        print(f"{params} is of a different size from the handout's: graders can ask such a model only if they are told its --recipe")
    for output, name in zip(outputs, (DEV, TEST), strict=True):
        questions, places = read_questions(folder / name)
        predictions = read_predictions(folder / output)
        if len(predictions) != len(questions):
            yield f"{output} has {len(predictions)} lines, {name} has {len(questions)} questions: evaluate again"
            continue
        if name == DEV and places is not None:
            print(f"{output}: {say(part, sum(are_right(predictions, places)), len(places))}")
        with blaming(name):
            readable = check_questions(questions, model, corpus, unknown="skip")  # as evaluate may have done
        chosen = random.Random(0).sample(range(len(questions)), min(ASKED_AGAIN, len(questions)))  # the same ones each time
        again = answer_questions(model, corpus, [readable[index] for index in chosen], silent=True)
        differing = sum(predictions[index] != in_one_line(said) for index, said in zip(chosen, again, strict=True))
        if differing > ROUNDING:
            yield f"{output} is stale: {params} answers {differing} of {len(chosen)} questions differently: evaluate again"


def read_model(path: Path, variant: str, corpus: CharCorruptionDataset) -> GPT:
    """The model with these parameters. Raises UserError if they are another variant's, or another text's."""
    model = load_model(path, corpus.text.vocabulary_sha256)
    if model.config.variant != variant:
        raise UserError(f"{path.name} are parameters of a {model.config.variant} model, not of a {variant} one")
    if model.config.vocab_size != corpus.vocab_size:
        raise UserError(f"{path.name} was trained on another text than this {TEXT}, which has other characters")
    return model


def say(part: str, right: int, total: int) -> str:
    """How many are right, and what the course asks for, as far as that is known."""
    of_dev, of_test = ASKED_FOR.get(part, (None, None))
    asked = ["one"] if part == "nopretrain" else [f"{of_dev:.0%}"] if of_dev else []
    if of_test and part in EDITION_VARIANTS:
        asked.append(f"{of_test:.0%} of the test, which nobody here can know")
    return f"{right} of {total} right ({100 * right / total:.1f}%)" + (f"; the course asks for {', and '.join(asked)}" if asked else "")


if __name__ == "__main__":
    sys.exit(run_reporting_errors(main))
