#!/usr/bin/env python3
"""Grade a submission: a zip, or the folder that it was unpacked to.

    python autograder/grade.py assignment5.zip                      prints the table that Gradescope will show
    python autograder/grade.py assignment5.zip --answers FILE       with the test's places, too

A submission's code runs only in a sandbox; its output is examined from outside. Predictions are believed if the code,
asked some of the questions again, gives the same answers.
"""

import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))
import python_version  # noqa: F401 - before what older Pythons don't understand

# isort: split
from checks import BLOCK_SIZE, LOOKS, corruption_properties, layer_difference, layer_tasks, random_lines
from intake import WANTED, Refused, take_in
from rubric import RUBRIC, Outcome, Report
from sandbox import Ended, Sandbox

from console import Parser, UserError, run_reporting_errors
from files import check_output, file_sha256, read_text, written_whole
from handout import ASKED_FOR, DEV, EDITION_VARIANTS, PARTS, ROUNDING, TEST, TEXT, variant_of
from recipes import RECIPES
from tables import are_right, read_questions, split_rows

MINUTES = 8.5  # for everything; Gradescope allows ten
ASKED_AGAIN = {"dev": 24, "test": 48}  # how many questions of each
ANSWERED_AGAIN = "again.predictions"  # the file that the answers go to
SECONDS_TO_ANSWER, SECONDS_TO_PROBE = 150, 60
IMPORT_TORCH = "import torch"  # the first time takes longest: before the code's own seconds count
SHOWN = 3  # answers to dev questions that differ when asked again
MANY_WITHOUT_PRETRAINING = 0.1  # share of dev; 43 published models have at most 0.028
ERR_ALIKE = 0.9  # share of two models' wrong answers to dev that are the same
LARGEST_RESULT = 3 * 10**6  # bytes of JSON from the probe


class Grader:
    """Grades one submission with the grader's own data."""

    def __init__(self, data: Path, answers: Path | None, recipe: str | None) -> None:
        """Raises UserError if the data can't be used, or a submission could read the answers."""
        self.report = Report(grades_test=answers is not None)
        self.recipe = recipe
        self.box = Sandbox(time.monotonic() + 60 * MINUTES)
        self.wrong: dict[str, dict[int, str]] = {}  # the wrong answers to dev, by part
        # a submission gets only the text's characters, not its facts: those it must have learnt, not look up
        self.characters = "".join(sorted(set(read_text(data / TEXT)))).encode()
        self.questions = {split: read_questions(data / name)[0] for split, name in (("dev", DEV), ("test", TEST))}
        self.places = {"dev": read_questions(data / DEV)[1], "test": read_answers(answers, self.questions["test"])}
        if self.places["dev"] is None:
            raise UserError(f"{data / DEV} has no places")
        if answers is not None:
            peep = [sys.executable, "-c", "import sys; open(sys.argv[1]).read()", str(answers.resolve())]
            if self.box.run(peep).problem is None or not self.box.keeps_secrets:
                raise UserError(f"a submission could read {answers} on this system, which lacks {'; '.join(self.box.missing)}")

    def grade(self, submission: Path) -> Report:
        """Grade everything, whatever the submission does."""
        report = self.report
        report.fail(RUBRIC, "Not reached.")
        with tempfile.TemporaryDirectory(prefix="submission-") as name:
            self.folder = Path(name)
            try:
                self.taken = take_in(submission, self.folder)
            except Refused as refused:
                report.fail(RUBRIC, f"Not graded: {refused}")
                return report
            with report.filling("corruption", "attention", "cross", "synthesizer"):
                self.probe_code()
            self.described: dict[str, Any] = {}
            with report.filling():
                self.described = self.describe_params()
            models = [self.folder / PARTS[part][0] for part in ("nopretrain", "vanilla")]  # rewritten: the same tensors, the same bytes
            self.same_model = all(map(Path.is_file, models)) and models[0].read_bytes() == models[1].read_bytes()
            with report.filling("nopretrain"):
                self.grade_without_pretraining()
            with report.filling("vanilla dev", "vanilla test"):
                self.grade_part("vanilla", "vanilla dev", "vanilla test")
            with report.filling("variant dev", "variant test"):
                self.grade_variants()
            with report.filling():
                self.note_what_looks_copied()
            report.hashes = {name: file_sha256(self.folder / name) for name in sorted(self.taken & WANTED)}
        return report

    # ---------------------------------------------------------------- code

    def probe_code(self) -> None:
        """Span corruption and the three layers."""
        lines, layers = random_lines(), layer_tasks()
        task = {"corruption": {"lines": lines, "block_size": BLOCK_SIZE, "looks": LOOKS}, "layers": layers}
        files = {"task.json": json.dumps(task).encode(), "probe.py": Path(__file__).with_name("probe.py"), **self.code()}
        results, why = result_of(self.box.run([sys.executable, "probe.py", "code"], files, ["result.json"], SECONDS_TO_PROBE))

        def value(name: str) -> Any:
            return results.get(name, {}).get("value")

        def error(name: str) -> str:
            return str(results.get(name, {}).get("error") or f"No result: {why or 'the code ended early'}")[:500]

        examples = value("corruption")
        if isinstance(examples, list) and len(examples) == LOOKS * len(lines):
            properties = judge(lambda: corruption_properties(lines, examples), [])
            score = float(sum(p.points for p in properties if p.failure is None))
            said = [f"{p.what}: {'yes' if p.failure is None else f'no ({p.failure[:300]})'}" for p in properties]
            output = "\n".join(said) or "The examples are not pairs of lists of indices."
            self.report.outcomes["corruption"] = Outcome(output, score, score == RUBRIC["corruption"].points)
        else:
            self.report.fail(["corruption"], f"CharCorruptionDataset(text, {BLOCK_SIZE})[i]: {error('corruption')}")
        for name, layer_task in layers.items():
            if "value" not in results.get(name, {}):
                self.report.fail([name], error(name))
            elif value(name) is None:
                self.report.outcomes[name] = Outcome(f"attention.py has no {layer_task.layer}, which other editions ask for.")
            else:
                wrong = judge(lambda task=layer_task, name=name: layer_difference(task, value(name)), "its output is not a matrix")
                self.report.outcomes[name] = Outcome(f"No: {wrong}." if wrong else "Agrees with the equation.", passed=not wrong)

    def code(self) -> dict[str, Path]:
        """The submission's code, for the sandbox."""
        return {"src": self.folder / "src"} if (self.folder / "src").is_dir() else {}

    def describe_params(self) -> dict[str, Any]:
        """What the grader's own code says about the parameters, which it also rewrites for a machine without a GPU."""
        names = sorted(params for params, *_ in PARTS.values() if params in self.taken)
        if not names:
            return {}
        files = {
            "project/src": ROOT / "src",
            "probe.py": Path(__file__).with_name("probe.py"),
            **{name: self.folder / name for name in names},
        }
        ended = self.box.run([sys.executable, "probe.py", "params", *names], files, ["result.json", *names], SECONDS_TO_PROBE)
        described, why = result_of(ended)
        for name in names:
            if name in ended.files:
                (self.folder / name).write_bytes(ended.files[name])
            found = described.get(name, {})
            if found.get("value", {}).get("variant") is None:
                what = found.get("error") or why or "other names of tensors"
                asked = ", so it is asked with --bottleneck_dim 64" * name.startswith("perceiver")
                self.report.for_instructor.append(f"{name} holds no model known here: {what}{asked}")
        return {name: found["value"] for name, found in described.items() if "value" in found}

    # ---------------------------------------------------------------- predictions

    def grade_without_pretraining(self) -> None:
        """Points if this part is complete, believed, not entirely wrong, and not the pretrained model."""
        if self.same_model:
            names = f"{PARTS['nopretrain'][0]} and {PARTS['vanilla'][0]}"
            self.report.fail(["nopretrain"], f"{names} are identical: this part asks for a model without pretraining.")
            return
        right, problem = self.believed("nopretrain")
        if problem:
            self.report.fail(["nopretrain"], problem)
            return
        self.report.settle("nopretrain", self.say("dev", right["dev"]), right["dev"] > 0)
        self.report.leaderboard["vanilla without pretraining, dev %"] = self.percent("dev", right["dev"])

    def grade_variants(self) -> None:
        """The edition's variant; if there are several, the best in each item by itself: which one passes the test must not show on dev."""
        keys = "variant dev", "variant test"
        present = [variant for variant in EDITION_VARIANTS if self.taken & set(PARTS[variant])]
        if not present:
            self.report.fail(keys, f"There is none of {', '.join(PARTS[variant][0] for variant in EDITION_VARIANTS)}.")
        found = []
        for variant in present:
            with self.report.filling(*keys):
                self.grade_part(variant, *keys)
            found.append({key: self.report.outcomes[key] for key in keys})
        if found:
            self.report.outcomes |= {key: max((outcomes[key] for outcomes in found), key=Outcome.rank) for key in keys}

    def grade_part(self, part: str, dev_key: str, test_key: str) -> None:
        """A pretrained model, on dev and on test."""
        kind = self.described.get(PARTS[part][0], {}).get("variant")  # told by the tensor names of the course's own code
        if kind not in (part, None):
            self.report.fail([dev_key, test_key], f"{part}: {PARTS[part][0]} holds parameters of a {kind} model.")
            return
        right, problem = self.believed(part)
        if problem:
            self.report.fail([dev_key, test_key], f"{part}: {problem}")
            return
        self.report.leaderboard[f"{part}, dev %"] = self.percent("dev", right["dev"])
        asked = ASKED_FOR["synthesizer" if part == "rope" else part]
        for key, split, least in zip((dev_key, test_key), ("dev", "test"), asked, strict=True):
            if split not in right:
                self.report.outcomes[key] = Outcome(f"{part}: confirmed, but not graded here: this grader has no places for the test.")
                continue
            passed = None if least is None else right[split] >= least * len(self.questions[split])
            self.report.settle(key, f"{part}: {self.say(split, right[split])}", passed)

    def believed(self, part: str) -> tuple[dict[str, int], str | None]:
        """How many answers are right in each split whose places are known; and why the part gets no points, if it gets none."""
        params, *names = PARTS[part]
        missing = [name for name in PARTS[part] if name not in self.taken]
        if missing:
            return {}, f"Missing beside src/: {', '.join(missing)}."
        predictions, right = {}, {}
        for split, name in zip(("dev", "test"), names, strict=True):
            predictions[split] = rows_of((self.folder / name).read_bytes(), len(self.questions[split]))
            if len(predictions[split]) != len(self.questions[split]):
                return {}, f"{name} has {len(predictions[split])} lines, but there are {len(self.questions[split])} questions."
        hits = {split: are_right(predictions[split], places) for split, places in self.places.items() if places}
        # of dev, half are drawn from the right answers, where a forger's would be; of test, all are drawn at random: the
        # choice of questions must not tell the code which answers are right
        chosen = {"dev": choose(ASKED_AGAIN["dev"], hits["dev"]), "test": choose(ASKED_AGAIN["test"], [False] * len(predictions["test"]))}
        for split, indices in chosen.items():
            again, problem = self.answers_of(part, params, split, indices)
            if problem:
                return {}, problem
            differing = [(index, answer) for index, answer in zip(indices, again, strict=True) if answer != predictions[split][index]]
            told = [
                f"{self.questions[split][index]!r}: handed in {predictions[split][index][:100]!r}, now answered {answer[:100]!r}"
                for index, answer in differing
            ]
            self.report.for_instructor += [f"{part}, {split}: {what}" for what in told]
            if split in hits:
                # what is not this model's answer counts as wrong and, where it was drawn from all, so do those that it stands for
                stands_for = max(1, round(len(self.questions[split]) / ASKED_AGAIN[split])) if split == "test" else 1
                right[split] = max(0, sum(hits[split]) - stands_for * sum(hits[split][index] for index, _ in differing))
            if len(differing) > ROUNDING:
                many = f"{len(differing)} of {len(indices)} {split} questions"
                why = f"Asked again, {params} answers {many} differently from the file of predictions: make the files again."
                cure = "The code must answer a question the same way on a CPU, in float32, among other questions."
                return {}, "\n".join([why, cure, *(told[:SHOWN] if split == "dev" else ())])
        self.wrong[part] = {index: predictions["dev"][index] for index, hit in enumerate(hits["dev"]) if not hit}
        return right, None

    def note_what_looks_copied(self) -> None:
        """Tell the instructor of a model that knows too much to be without pretraining, and of two that err alike."""
        n = len(self.questions["dev"])
        if "nopretrain" in self.wrong and (right := n - len(self.wrong["nopretrain"])) > MANY_WITHOUT_PRETRAINING * n:
            self.report.for_instructor.append(f"nopretrain: {right} of {n} dev places right, more than a model without pretraining knows")
        for (one, its_wrong), (other, others_wrong) in combinations(self.wrong.items(), 2):
            wrong = its_wrong.keys() | others_wrong.keys()
            alike = sum(its_wrong.get(index) == others_wrong.get(index) for index in wrong)
            if alike > ERR_ALIKE * len(wrong):
                what = f"of the {len(wrong)} dev questions that either answers wrongly, both give the same answer to {alike}"
                self.report.for_instructor.append(f"{one} and {other}: {what}: perhaps one model under two names")

    def answers_of(self, part: str, params: str, split: str, indices: list[int]) -> tuple[list[str], str | None]:
        """The code's answers to some questions with these parameters; and what went wrong, if anything."""
        variant = variant_of(part)
        name = DEV if split == "dev" else TEST
        ending = "\t?\n" if split == "dev" else "\n"  # as in the files, but without the places: code may rely on the tab
        questions = "".join(f"{self.questions[split][index]}{ending}" for index in indices)
        command = [sys.executable, "src/run.py", "evaluate", variant, TEXT, "--reading_params_path", params]
        command += ["--eval_corpus_path", name, "--outputs_path", ANSWERED_AGAIN]
        if variant == "perceiver":
            command += ["--bottleneck_dim", str(self.described.get(params, {}).get("bottleneck_dim") or 64)]
        command += ["--recipe", self.recipe] if self.recipe else []
        files = {TEXT: self.characters, params: self.folder / params, name: questions.encode(), **self.code()}
        ended = self.box.run(command, files, [ANSWERED_AGAIN], SECONDS_TO_ANSWER)
        content = ended.files.get(ANSWERED_AGAIN)
        again = rows_of(content, len(indices)) if content else []
        if ended.problem or len(again) != len(indices):
            what = ended.problem or (f"it gave {len(again)} answers" if content else "it wrote no answers to --outputs_path")
            told = f"The code did not answer {len(indices)} {split} questions with {params}: {what}."
            return [], told + (f"\n{ended.said}" if ended.said else "")
        return again, None

    def percent(self, split: str, right: int) -> float:
        return round(100 * right / len(self.questions[split]), 1)

    def say(self, split: str, right: int) -> str:
        return f"{right} of {len(self.questions[split])} {split} places right ({self.percent(split, right)}%)."


def choose(many: int, hits: list[bool]) -> list[int]:
    """`many` questions to ask again, half of them drawn from the hits if there are enough; in random order."""
    right = [index for index, hit in enumerate(hits) if hit]
    first = random.sample(right, min(len(right), many // 2))
    others = sorted(set(range(len(hits))) - set(first))
    chosen = first + random.sample(others, min(len(others), many - len(first)))
    return random.sample(chosen, len(chosen))


def rows_of(content: bytes, n: int) -> list[str]:
    """The lines of a file of predictions, without blank ones at its end where it has more than `n`."""
    rows = split_rows(content.decode("utf-8", errors="replace").replace("\r\n", "\n").replace("\r", "\n"))
    while len(rows) > n and not rows[-1]:
        rows.pop()
    return rows


def judge(work: Callable[[], Any], otherwise: Any) -> Any:
    """What `work` makes of a submission's numbers, or `otherwise`: they may be any JSON at all."""
    try:
        return work()
    except (TypeError, ValueError, IndexError, KeyError, AttributeError, OverflowError):
        return otherwise


def result_of(ended: Ended) -> tuple[dict[str, dict[str, Any]], str | None]:
    """The probe's results by name, and what went wrong."""
    try:
        results = json.loads(ended.files.get("result.json", b"{}")[:LARGEST_RESULT])
        return {name: result for name, result in results.items() if isinstance(result, dict)}, ended.problem
    except (ValueError, RecursionError, AttributeError):
        return {}, "what it wrote is not a valid result"


def read_answers(path: Path | None, questions: list[str]) -> list[str] | None:
    """The places of the test questions. Raises UserError if the file has other questions, or no places."""
    if path is None:
        return None
    asked, places = read_questions(path)
    if asked != questions or places is None:
        raise UserError(f"{path} is not {TEST} with a tab and a place after each question")
    return places


def unfinished() -> Report:
    """The result to show until there is a real one."""
    report = Report(grades_test=False)
    report.fail(RUBRIC, "The grader did not finish: tell the instructor.")
    return report


def main() -> None:
    parser = Parser(description="Grade a submission.")
    parser.add_argument("submission", type=Path, help="the zip, or the folder that it was unpacked to")
    parser.add_argument("--data", type=Path, default=ROOT, help=f"a folder with {TEXT}, {DEV} and {TEST} (default: the project's)")
    parser.add_argument("--answers", type=Path, help=f"{TEST} with places; without it, the test is not graded")
    parser.add_argument("--recipe", choices=RECIPES, help="what the parameters were trained with, if their model is of another size")
    parser.add_argument("--results", type=Path, help="where Gradescope looks for the results")
    args = parser.parse_args()
    began = time.monotonic()
    if args.results is not None:
        check_output(str(args.results), [args.submission, args.answers, *(args.data / name for name in (TEXT, DEV, TEST))])

    def write(report: Report) -> None:
        if args.results is not None:
            with written_whole(args.results) as temporary:
                temporary.write_text(json.dumps(report.as_json(time.monotonic() - began), indent=1), encoding="utf-8")

    write(unfinished())
    if not args.submission.exists():
        raise UserError(f"there is no {args.submission}")
    grader = Grader(args.data, args.answers, args.recipe)
    found = grader.box.run([sys.executable, "-c", IMPORT_TORCH], seconds=SECONDS_TO_ANSWER)
    if found.problem:  # a submission's code would fail, and the student be blamed
        cure = "pip install -r autograder/requirements.txt, in an environment that all users may read"
        said = found.said.rpartition("\n")[2][:200]
        raise UserError(f"a submission's code can't import PyTorch here: {cure} ({found.problem}{said and f': {said}'})")
    if grader.box.missing:
        print(f"This system runs the submission's code without {'; without '.join(grader.box.missing)}.\n", flush=True)
    report = grader.grade(args.submission)
    write(report)
    print(report.table())
    if report.for_instructor:
        print("\nFor the instructor:", *report.for_instructor, sep="\n")


if __name__ == "__main__":
    sys.exit(run_reporting_errors(main))
