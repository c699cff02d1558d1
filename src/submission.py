"""Collect what is handed in: assignment5.zip, of the code, the data and the outputs of one edition or both.

    bash collect_submission.sh [--edition perceiver|synthesizer|all]

Whatever a grader would stumble over is found first; then nothing is collected.
"""

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from console import Parser, UserError, run_reporting_errors
from files import announce_if_bundled, file_sha256, read_questions, read_text, split_rows, write_zip
from handout import ASKED_FOR, DEV, EDITIONS, PARTS, TEST, TEXT, TRAIN, find_edition, parts_of

ROOT = Path(__file__).parents[1]
ASKED_AGAIN = 20  # questions of each file of predictions
ROUNDING = 1  # so many of them may be answered otherwise on another machine


def main() -> int:
    """Check that all is there and belongs together, then zip it. The exit code is 1 where something is wrong."""
    parser = Parser(prog="collect_submission.sh", description="Make assignment5.zip of what lies in this folder.")
    parser.add_argument("--edition", choices=EDITIONS, help="whose outputs to hand in (default: found by what is there)")
    parser.add_argument("--folder", type=Path, default=Path(), help="where data and outputs lie, and the zip goes (default: here)")
    args = parser.parse_args()
    edition = args.edition or find_edition(args.folder)

    names = [TEXT, DEV, TRAIN, *(name for part in parts_of(edition) for name in PARTS[part])]
    missing = [f"{name} is missing" for name in names if not (args.folder / name).is_file()]
    problems = missing or [problem for part in parts_of(edition) for problem in check(part, args.folder)]
    if problems:
        print(f"Nothing collected. Of the {len(names)} files of the {edition} edition", *problems, sep="\n  ", file=sys.stderr)
        return 1
    announce_if_bundled(args.folder / TEXT, file_sha256(args.folder / TEXT))
    files = {path.relative_to(ROOT).as_posix(): path for path in (ROOT / "src").rglob("*.py")}
    files |= {name: args.folder / name for name in names}
    write_zip(args.folder / "assignment5.zip", files)
    size = (args.folder / "assignment5.zip").stat().st_size / 1e6
    print(f"{args.folder / 'assignment5.zip'}: the {edition} edition, {len(files)} files, {size:.1f} MB")
    return 0


def check(part: str, folder: Path) -> Iterator[str]:
    """What is wrong with the parameters and predictions of a part; prints how many of dev they have right."""
    params, *outputs = PARTS[part]
    try:
        answer = model_that_answers(folder / params, "vanilla" if part == "nopretrain" else part, folder / TEXT)
        for output, name in zip(outputs, (DEV, TEST), strict=True):
            questions, places = read_questions(folder / name)
            predictions = split_rows(read_text(folder / output))
            if len(predictions) != len(questions):
                yield f"{output} has {len(predictions)} lines, {name} has {len(questions)} questions: evaluate again"
                continue
            if name == DEV and places is not None:
                print(f"{output}: {say(part, sum(map(str.__eq__, predictions, places)), len(places))}")
            chosen = random.sample(range(len(questions)), min(ASKED_AGAIN, len(questions)))
            again = answer([questions[index] for index in chosen])
            differing = sum(predictions[index] != said for index, said in zip(chosen, again, strict=True))
            if differing > ROUNDING:
                yield f"{output} is stale: {params} answers {differing} of {len(chosen)} questions otherwise: evaluate again"
    except UserError as error:
        yield str(error)


def model_that_answers(path: Path, variant: str, text: Path) -> Callable[[Sequence[str]], list[str]]:
    """What answers questions with these parameters. Raises UserError where they are another variant's, or another text's."""
    from checkpoint import load_model  # brings PyTorch
    from dataset import CharCorruptionDataset
    from evaluation import answer_questions
    from stages import vocabulary_sha256

    corpus = CharCorruptionDataset.from_file(text, block_size=128)
    model = load_model(path, vocabulary_sha256(corpus))
    if model.config.variant != variant:
        raise UserError(f"{path.name} are parameters of a {model.config.variant} model, not of a {variant} one")
    if model.config.vocab_size != corpus.vocab_size:
        raise UserError(f"{path.name} was trained on another text than this {text.name}, which has other characters")
    return lambda questions: [said.replace("\n", " ") for said in answer_questions(model, corpus, questions, silent=True)]


def say(part: str, right: int, total: int) -> str:
    """How many are right, beside what the course asks for."""
    asked = "the course asks for one" if part == "nopretrain" else f"the course asks for {ASKED_FOR[part][0]:.0%}"
    if part in EDITIONS:
        asked += f", and {ASKED_FOR[part][1]:.0%} of the test, which nobody here can know"
    return f"{right} of {total} right ({100 * right / total:.1f}%); {asked}"


if __name__ == "__main__":
    sys.exit(run_reporting_errors(main))
