"""Build autograder.zip, to be uploaded to Gradescope.

    python autograder/build.py --answers birth_test.tsv      (or: make autograder ANSWERS=birth_test.tsv)

It holds the grader, the project's code, the data that submissions are asked about and, if given, the answers.
"""

import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))
import python_version  # noqa: F401 - before what older Pythons don't understand

# isort: split
from grade import read_answers, unfinished

from cards import announce_bundled
from console import Parser, UserError, run_reporting_errors
from files import check_output, file_sha256, read_text, write_zip
from handout import DEV, TEST, TEXT
from recipes import RECIPES
from tables import read_questions

GRADER = ("grade.py", "rubric.py", "checks.py", "intake.py", "sandbox.py", "confinement.py", "probe.py", "requirements.txt")


def main() -> None:
    parser = Parser(description="Build autograder.zip.")
    parser.add_argument("--data", type=Path, default=ROOT, help=f"a folder with {TEXT}, {DEV} and {TEST} (default: the project's)")
    parser.add_argument("--answers", type=Path, help=f"{TEST} with a tab and a place after each question; else the test is not graded")
    parser.add_argument("--recipe", choices=RECIPES, help="what the parameters were trained with, if their model is of another size")
    parser.add_argument("--index", help="an index where pip finds other builds of PyTorch, such as the far smaller CPU-only ones")
    parser.add_argument("--out", type=Path, default=Path("autograder.zip"))
    args = parser.parse_args()
    check_output(str(args.out), [args.answers, *(args.data / name for name in (TEXT, DEV, TEST))])

    questions, _ = read_questions(args.data / TEST)
    read_answers(args.answers, questions)
    if read_questions(args.data / DEV)[1] is None:
        raise UserError(f"{args.data / DEV} has no places")
    read_text(args.data / TEXT)  # raises a one-line error if it can't be read
    announce_bundled(args.data / TEXT, file_sha256(args.data / TEXT))

    here = ROOT / "autograder"
    files: dict[str, Path | bytes] = {name: here / name for name in ("setup.sh", "run_autograder")}
    files |= {f"autograder/{name}": here / name for name in GRADER}
    files |= {f"src/{path.name}": path for path in (ROOT / "src").glob("*.py")}
    files |= {"requirements.txt": ROOT / "requirements.txt", **{name: args.data / name for name in (TEXT, DEV, TEST)}}
    files["unfinished.json"] = json.dumps(unfinished().as_json(0.0)).encode()
    if args.answers is not None:
        files["answers.tsv"] = args.answers
    if args.recipe is not None:
        files["recipe"] = args.recipe.encode()
    if args.index is not None:
        files["pip.conf"] = f"[global]\nextra-index-url = {args.index}\n".encode()
    if args.answers is not None:
        os.umask(0o077)  # nobody else on this machine may read them
    write_zip(args.out, files, executable=("setup.sh", "run_autograder"))
    answers = "with the test's answers: keep it to yourself" if args.answers else "without answers, so the test is not graded"
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB, {answers}")


if __name__ == "__main__":
    sys.exit(run_reporting_errors(main))
