"""The autograder on correct, careless and hostile submissions, and the points that each must get.

Most are a few lines written here, without PyTorch: to the grader, a submission's code is a command that answers questions.
"""

import io
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import build
import grade
import probe
import pytest
import sandbox
import torch
from checks import LOOKS, corruption_properties, layer_difference, layer_tasks, random_lines
from grade import Grader
from intake import Refused, find_root, take_in
from rubric import RUBRIC
from sandbox import Sandbox

from checkpoint import describe
from console import UserError, run_reporting_errors
from corpus import PAD_CHAR
from dataset import CharCorruptionDataset, corrupt
from handout import EDITION_VARIANTS, PARTS, variant_of
from helpers import sharpened
from make_corpus import write_world
from model import GPT, GPTConfig, variant_flags
from questions import answer_questions
from tables import in_one_line, read_predictions, read_questions

ROOT = Path(__file__).parents[1]
MODES = {"link": stat.S_IFLNK | 0o777, "pipe": stat.S_IFIFO | 0o644}
ALL_POINTS = {"nopretrain": 5, "corruption": 10, "vanilla dev": 5, "vanilla test": 5, "variant test": 8}

DATASET = """
import random
class CharCorruptionDataset:
    def __init__(self, data, block_size):
        self.data, self.block_size = data.split("\\n"), block_size
        self.stoi = {c: i for i, c in enumerate(["\\u25a1", "\\u2047"] + sorted(set(data)))}
    def __getitem__(self, i):
        text = self.data[i][: random.randint(4, self.block_size * 7 // 8)]
        span = random.randint(1, max(1, len(text) // 2 - 1))
        start = random.randint(0, len(text) - span)
        text = text[:start] + "\\u2047" + text[start + span:] + "\\u2047" + text[start: start + span]
        block = [self.stoi[c] for c in text.ljust(self.block_size, "\\u25a1")]
        return block[:-1], block[1:]
"""
RUN = """
import json, sys
flags = dict(zip(sys.argv[4::2], sys.argv[5::2]))
known = json.load(open(flags["--reading_params_path"], encoding="utf-8"))
asked = [line.split("\\t")[0] for line in open(flags["--eval_corpus_path"], encoding="utf-8").read().splitlines()]
open(flags["--outputs_path"], "w", encoding="utf-8").write("".join(known[question] + "\\n" for question in asked))
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A world of 300 people, with the answers to its test questions."""
    folder = tmp_path_factory.mktemp("data")
    write_world(300, seed=5, out=folder, answers=folder / "gold.tsv")
    (folder / "gold.tsv").chmod(0o600)
    (folder / "results.json").write_text("{}", encoding="utf-8")
    (folder / "results.json").chmod(0o666)
    for path in (folder, *folder.parents[:2]):  # traversable, as /tmp is: it is up to the sandbox to prevent writing
        path.chmod(path.stat().st_mode | 0o711)
    return folder


@pytest.fixture(scope="module")
def hides(data):
    """Whether this system can hide the answers from a submission; if not, the test is not graded."""
    try:
        return bool(Grader(data, data / "gold.tsv", None))
    except UserError:
        return False


def gold(data, split):
    questions, places = read_questions(data / ("birth_dev.tsv" if split == "dev" else "gold.tsv"))
    return dict(zip(questions, places, strict=True))


def written(data, *variants):
    """The files of a correct submission without PyTorch; half of its pretrained answers are right."""
    files = {"src/run.py": RUN, "src/dataset.py": DATASET}
    for part in ("nopretrain", "vanilla", *variants):
        params, *names = PARTS[part]
        known = {}
        for split, name in zip(("dev", "test"), names, strict=True):
            one_in = 2 if part != "nopretrain" else 20
            answers = {q: place if n % one_in == 0 else "Atlantis" for n, (q, place) in enumerate(gold(data, split).items())}
            files[name] = "".join(f"{answer}\n" for answer in answers.values())
            known |= answers
        files[params] = json.dumps(known)
    return {name: content.encode() for name, content in files.items()}


def zipped(files, path):
    """A zip of these files, whatever their names; (content, mode) makes a file of another kind."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            content, mode = content if isinstance(content, tuple) else (content, stat.S_IFREG | 0o644)
            entry.external_attr = mode << 16
            archive.writestr(entry, content)
    return path


@pytest.fixture
def grading(data, hides, tmp_path, monkeypatch):
    """Grades files and returns the report, after checking that it is complete."""

    def describe_params(self):
        """Knows no model: these parameters are text, and the grader's own method needs PyTorch, which takes seconds."""
        return {}

    monkeypatch.setattr(Grader, "describe_params", describe_params)

    def grading(files):
        path = files if isinstance(files, Path) else zipped(files, tmp_path / "assignment5.zip")
        report = Grader(data, data / "gold.tsv" if hides else None, None).grade(path)
        assert set(report.outcomes) == set(RUBRIC)
        json.dumps(report.as_json(1.0))
        return report

    return grading


def lost(report, hides=True):
    """The items that did not get all their points."""
    scores = {key: report.outcomes[key].score for key in ALL_POINTS if hides or not key.endswith("test")}
    return {key for key, score in scores.items() if score != ALL_POINTS[key]}


ANSWERS = {"nopretrain", "vanilla dev", "vanilla test", "variant test"}  # what depends on the code's answers
EVERYTHING = set(ALL_POINTS)


# ---------------------------------------------------------------- correct ones


@pytest.mark.parametrize("variants", [("perceiver",), ("synthesizer",), ("rope",), ("perceiver", "synthesizer")])
def test_a_right_submission_gets_all_points(grading, data, hides, variants):
    report = grading(written(data, *variants))
    assert not lost(report, hides), report.table()
    assert report.score() == (33 if hides else 20)
    for variant in ("vanilla", *variants):
        assert 50 <= report.leaderboard[f"{variant}, dev %"] < 52


@pytest.mark.parametrize("folder", ["my work/", "a/a/", "./"])
def test_in_a_folder_of_its_own_beside_what_is_not_graded_whatever_it_is(grading, data, hides, folder):
    files = {f"{folder}{name}": content for name, content in written(data, "perceiver").items()}
    added = {
        f"__MACOSX/{folder}._src": b"",
        f"__MACOSX/{folder}src/._run.py": b"",
        ".DS_Store": b"",
        "report.pdf": b"",
        "Screenshot at 3.14.15\u202fPM.png": b"",
        f"{folder}Icon\r": b"",
        f"{folder}src/Icon\r": b"",
        f"{folder}src": (b"", stat.S_IFDIR | 0o755),
        f"{folder}wandb/latest-run": (b"run-1", MODES["link"]),
        f"{folder}{'deep/' * 30}x": b"",
        f"{folder}src/vanilla.model.params": bytes(20 * 10**6),  # what is left behind by working there
        f"{folder}src/expt/pretrain/run/events": bytes(6 * 10**6),
        f"{folder}src/.venv/bin/python": (b"/usr/bin/python", MODES["link"]),
        f"{folder}src/._run.py": b"",
        "a/more/still/src/run.py": b"",
    }
    assert not lost(grading(files | added), hides)


@pytest.mark.parametrize(
    ("names", "root"),
    [
        (["Backup/src/run.py", "a5/src/run.py", "a5/vanilla.model.params"], "a5/"),  # older copies may have any name
        (["src/run.py", "old/src/run.py", "old/vanilla.model.params"], "old/"),
        (["src/run.py", "vanilla.model.params", "old/src/run.py", "old/vanilla.model.params", "old/vanilla.finetune.params"], ""),
        (["a/src/run.py", "a/vanilla.model.params", "b/src/run.py", "b/vanilla.model.params", "b/vanilla.finetune.params"], "b/"),
        (["src/src/run.py", "src/vanilla.model.params"], "src/"),
        (["b/src/run.py", "a/deep/src/run.py"], "b/"),
        (["vanilla.model.params", "a/src/run.py"], "a/"),
        (["report.pdf"], ""),
    ],
)
def test_the_folder_that_is_graded_has_the_code_and_the_files(names, root):
    for some in (names, names[::-1]):
        assert find_root(some) == root


@pytest.mark.parametrize("separator", ["/", pytest.param("\\", marks=pytest.mark.skipif(os.name != "posix", reason="is none in names"))])
def test_as_gradescope_unpacks_it(grading, data, hides, tmp_path, separator):
    """Of a zip with backslashes, as old programs on Windows write it, the names may be left as they are."""
    files = {name.replace("/", separator): content for name, content in (written(data, "perceiver") | {"src/": b""}).items()}
    zipfile.ZipFile(zipped(files, tmp_path / "a.zip")).extractall(tmp_path / "submission")
    assert not lost(grading(tmp_path / "submission"), hides)


@pytest.mark.parametrize(("n", "items"), [(1, set()), (2, {"vanilla dev", "vanilla test"}), (9, {"vanilla dev", "vanilla test"})])
def test_one_answer_may_be_rounded_otherwise_on_another_machine_and_no_more(grading, data, hides, monkeypatch, n, items):
    monkeypatch.setattr(grade, "ASKED_AGAIN", {"dev": 60, "test": 60})  # all of them
    files, name = written(data, "perceiver"), "vanilla.pretrain.dev.predictions"
    lines = ["Lemuria"] * n + files[name].decode().splitlines()[n:]
    report = grading(files | {name: "".join(f"{line}\n" for line in lines).encode()})
    assert lost(report, hides) == {item for item in items if hides or not item.endswith("test")}
    assert sum("handed in 'Lemuria', now answered" in line for line in report.for_instructor) == n
    assert report.outcomes["vanilla dev"].output.count("handed in 'Lemuria', now answered") == (0 if n == 1 else min(n, 3))


def test_as_many_are_asked_again_as_the_readme_says_each_once_and_half_of_them_right():
    assert grade.ASKED_AGAIN == {"dev": 24, "test": 48}
    hits = [number % 5 == 0 for number in range(100)]
    for _ in range(20):
        chosen = grade.choose(24, hits)
        assert len(chosen) == len(set(chosen)) == 24 and sum(hits[number] for number in chosen) >= 12
    assert sorted(grade.choose(24, [True] * 10)) == list(range(10))


# ---------------------------------------------------------------- careless ones


def without(name):
    return lambda files: {key: content for key, content in files.items() if key != name}


def with_code(code):
    """Prepends the code to the program that answers and to the dataset."""
    return lambda files: files | {f"src/{name}.py": f"{code}\n".encode() + files[f"src/{name}.py"] for name in ("run", "dataset")}


def fewer_lines(files):
    return files | {"vanilla.pretrain.test.predictions": files["vanilla.pretrain.test.predictions"].split(b"\n", 1)[1]}


def forged(files, part="vanilla"):
    """Predictions that the parameters do not give."""
    known = json.loads(files[PARTS[part][0]])
    return files | {PARTS[part][0]: json.dumps(dict.fromkeys(known, "Atlantis")).encode()}


def all_wrong(files):
    """A model without pretraining may give wrong answers, but not only wrong ones."""
    named = forged(files, "nopretrain")
    return named | {name: b"Atlantis\n" * files[name].count(b"\n") for name in PARTS["nopretrain"][1:]}


def not_pretrained_by_name_alone(files):
    """The pretrained model, handed in again as the one without pretraining."""
    return files | {ours: files[theirs] for ours, theirs in zip(PARTS["nopretrain"], PARTS["vanilla"], strict=True)}


CARELESS = {
    "nothing in it": (lambda _: {"notes.txt": b""}, EVERYTHING, "Missing beside src/"),
    "parameters missing": (
        without("vanilla.finetune.params"),
        {"vanilla dev", "vanilla test"},
        "Missing beside src/: vanilla.finetune.params",
    ),
    "predictions missing": (without("vanilla.nopretrain.test.predictions"), {"nopretrain"}, "Missing beside src/: vanilla.nopretrain"),
    "no variant": (lambda files: {k: v for k, v in files.items() if "perceiver" not in k}, {"variant test"}, "There is none of perceiver"),
    "no code": (lambda files: {k: v for k, v in files.items() if "src" not in k}, EVERYTHING, "did not answer"),
    "code that is no Python": (with_code("def ("), EVERYTHING, "SyntaxError"),
    "code that fails": (
        lambda files: files | {"src/dataset.py": DATASET.replace("[i][:", "[-i - 1][9999:").encode()},
        {"corruption"},
        r"CharCorruptionDataset\(text, \d+\)\[i\]: dataset.py, line 10: ValueError: empty range(?s:.*)ModuleNotFoundError",
    ),
    "a line of predictions missing": (fewer_lines, {"vanilla dev", "vanilla test"}, "questions."),
    "predictions of other parameters": (forged, {"vanilla dev", "vanilla test"}, "differently from the file of predictions"),
    "predictions that are no text": (
        lambda files: files | {"vanilla.pretrain.dev.predictions": b"\xff\xfe\n" * 50},
        {"vanilla dev", "vanilla test"},
        "vanilla:",
    ),
    "predictions of the test alone that are not the model's": (
        lambda files: files | {name: b"Rome\n" * files[name].count(b"\n") for name in PARTS["vanilla"][2:]},
        {"vanilla dev", "vanilla test"},
        r"test questions differently from the file of predictions: make the files again(?!(?s:.*)now answered)",  # but not which ones
    ),
    "answers that are all wrong": (all_wrong, {"nopretrain"}, "0 of 51 dev places right"),
    "the pretrained model in place of the other": (not_pretrained_by_name_alone, {"nopretrain"}, "a model without pretraining"),
    "another model without pretraining": (lambda files: forged(files, "nopretrain"), {"nopretrain"}, "differently from the file"),
}

# ---------------------------------------------------------------- hostile ones

BOMB = b"\0" * (70 * 10**6)
FAKE = "print('{\"score\": 33}'); print('33 of 33 points')"
REWRITE = """
import glob, os
for path in ["/autograder/results/results.json", "../results.json", "WHERE THEY ARE", *glob.glob("/tmp/**/results.json", recursive=True)]:
    try:
        open(path, "w").write('{"score": 33}')
    except OSError:
        pass
"""
PEEP = """
import os, sys
seen = [os.environ.get(name, "") for name in os.environ if "ANSWER" in name]
for number in os.listdir("/proc"):
    try:
        words = open(f"/proc/{number}/cmdline").read().split("\\0")
        seen += [open(word).read() for word in words if word.endswith("gold.tsv")]
    except OSError:
        pass
for path in ["/autograder/source/answers.tsv", "../gold.tsv", "WHERE THEY ARE"]:
    try:
        seen.append(open(path).read())
    except OSError:
        pass
if any(seen):
    os._exit(0)  # so that it loses points, and the test sees it
"""
OUTLIVE = """
import subprocess, sys
again = "import time; time.sleep(60); open('WHERE TO', 'w')"
subprocess.Popen([sys.executable, "-c", again], start_new_session=True)
"""
LINK = """
import os, sys
os.symlink("/etc/passwd", sys.argv[sys.argv.index("--outputs_path") + 1] if "run.py" in sys.argv[0] else "result.json")
os._exit(0)
"""
FORK = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
FILL = "number = 0\nwhile True:\n    number += 1\n    open(str(number), 'wb').write(bytes(10**7))"
HOLD = """
import os
held = []
while True:
    held.append(open("x", "wb"))
    os.unlink("x")
    held[-1].write(bytes(10**7))
    held[-1].flush()
"""
SPOIL = "import pathlib\n[path.unlink() for path in pathlib.Path('.').rglob('*') if path.is_file()]\nraise SystemExit(0)"
PRETEND = "import json\njson.dump({'corruption': {'value': [[[1], [2]]] * 832}}, open('result.json', 'w'))\nimport os\nos._exit(0)"
NESTED = "open('result.json', 'w').write('[' * 10**6)\nimport os\nos._exit(0)"

HOSTILE = {
    "zip slip": (lambda files: files | {"src/../../evil.py": b""}, EVERYTHING, "outside the submission"),
    "an absolute name": (lambda files: files | {"/etc/evil": b""}, EVERYTHING, "outside the submission"),
    "a Windows path": (lambda files: files | {"C:\\evil": b""}, set(), ""),
    "a Windows path that leads out": (lambda files: files | {"src\\..\\..\\evil": b""}, EVERYTHING, "outside the submission"),
    "names that are no plain ones": (lambda files: files | {"src/./run.py": b""}, EVERYTHING, "not a plain name"),
    "folders without end": (lambda files: files | {"src/" + "a/" * 30 + "b": b""}, EVERYTHING, "not a plain name"),
    "draws on the terminal": (with_code("print('\\x1b[2J 33 of 33'); raise SystemExit(3)"), EVERYTHING, "\ufffd"),
    "a symbolic link": (lambda files: files | {"src/a.py": (b"/etc/passwd", MODES["link"])}, EVERYTHING, "a link"),
    "a pipe": (lambda files: files | {"vanilla.model.params": (b"", MODES["pipe"])}, EVERYTHING, "a link"),
    "names that differ in case": (lambda files: files | {"src/RUN.py": b""}, EVERYTHING, "are one file"),
    "a file that is a folder too": (lambda files: files | {"src/run.py/x": b""}, EVERYTHING, "a folder that is also a file"),
    "more code than anybody writes": (
        lambda files: files | {f"src/{n}.py": bytes(n * 10**6) for n in range(4)},
        EVERYTHING,
        r"src has more than 5 MB, 3.0 of them in 'src/3.py'",
    ),
    "a bomb": (lambda files: files | {"vanilla.model.params": BOMB}, EVERYTHING, "70 MB"),
    "thousands of files": (lambda files: files | {f"x/{n}": b"" for n in range(5001)}, EVERYTHING, "more than 5000"),
    "prints results": (with_code(FAKE), set(), ""),
    "prints results and ends": (with_code(f"{FAKE}; raise SystemExit(0)"), EVERYTHING, "wrote no answers to --outputs_path"),
    "rewrites the results": (with_code(REWRITE), set(), ""),
    "ends early": (with_code("import os; os._exit(0)"), EVERYTHING, "ended early"),
    "sleeps": (with_code("import time; time.sleep(1000)"), EVERYTHING, "longer than"),
    "takes memory": (with_code("x = bytearray(10**9)\nwhile True:\n    x[::4096] = x[::4096]"), EVERYTHING, "memory"),
    "forks without end": (with_code(FORK), EVERYTHING, "processes|longer than|memory"),
    "fills the disk": (with_code(FILL), EVERYTHING, "wrote more than"),
    "fills the disk with files that it has deleted": (with_code(HOLD), EVERYTHING, "wrote more than" if sys.platform == "linux" else ""),
    "leaves processes behind": (with_code(OUTLIVE), set(), ""),
    "looks for the answers": (with_code(PEEP), set(), ""),
    "a link in place of its answers": (with_code(LINK), EVERYTHING, "wrote no answers to --outputs_path"),
    "removes all files": (with_code(SPOIL), EVERYTHING, "answers"),
    "writes the grader's result itself": (with_code(PRETEND), EVERYTHING, "no"),
    "a result to choke on": (with_code(NESTED), EVERYTHING, "No result"),
    "never ends to print": (with_code("while True:\n    print('x' * 10**6)"), EVERYTHING, "exit code|longer"),
}


@pytest.mark.parametrize("name", [*CARELESS, *HOSTILE])
def test_what_a_submission_loses(grading, data, hides, monkeypatch, tmp_path, name):
    """It loses these points and no others; none of the grader's files is touched, and no process is left running."""
    import re

    seconds = 1 if name == "sleeps" else 4
    monkeypatch.setattr(grade, "SECONDS_TO_ANSWER", seconds)
    monkeypatch.setattr(grade, "SECONDS_TO_PROBE", seconds)
    monkeypatch.setattr(sandbox, "DISK", 50 * 10**6)
    monkeypatch.setattr(grade, "ANSWERED_AGAIN", f"again.{os.getpid()}.predictions")  # other graders may run beside the tests
    change, expected, said = (CARELESS | HOSTILE)[name]
    files = change(written(data, "perceiver"))
    aimed_at = {"looks for the answers": "gold.tsv", "rewrites the results": "results.json"}.get(name)
    if aimed_at and hides:
        files = {path: content.replace(b"WHERE THEY ARE", str(data / aimed_at).encode()) for path, content in files.items()}
        assert str(data / aimed_at).encode() in files["src/run.py"]
    if name == "leaves processes behind":
        files = {path: content.replace(b"WHERE TO", str(tmp_path / "outlived").encode()) for path, content in files.items()}
        assert str(tmp_path / "outlived").encode() in files["src/run.py"]
    untouched = [path for path in data.iterdir() if hides or path.name != "results.json"]
    before = {path: path.read_bytes() for path in untouched}
    report = grading(files)
    assert lost(report, hides) == {key for key in expected if hides or not key.endswith("test")}, report.table()
    assert re.search(said, report.table()), report.table()
    assert report.score() == sum(points for key, points in ALL_POINTS.items() if key not in lost(report) and (hides or "test" not in key))
    assert {path: path.read_bytes() for path in untouched} == before
    ps = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=False).stdout
    assert str(tmp_path / "outlived") not in ps and f"--outputs_path {grade.ANSWERED_AGAIN}" not in ps
    places = set(gold(data, "test").values()) - set(gold(data, "dev").values())
    assert not places & set(re.findall(r"\w+", report.table()))  # no output reveals a place from the test


def test_blank_lines_at_the_end_of_predictions_do_not_count(grading, data, hides):
    files = written(data, "perceiver")
    files |= {name: content + b"\n\r\n" for name, content in files.items() if name.endswith(".predictions")}
    files["src/run.py"] = RUN.replace("for question in asked))", 'for question in asked) + "\\n\\n")').encode()
    assert files["src/run.py"] != RUN.encode() and not lost(grading(files), hides)
    files["vanilla.pretrain.dev.predictions"] = b"\n" + files["vanilla.pretrain.dev.predictions"]  # at the beginning, they do
    assert lost(grading(files), hides) == ({"vanilla dev", "vanilla test"} if hides else {"vanilla dev"})


def test_code_in_the_handouts_manner_is_asked_in_the_files_own_form(grading, data, hides):
    """It takes everything before the tab and so, if there is no tab, the newline as well."""
    files = written(data, "perceiver")
    lines = 'asked = [line.split("\\t")[0] for line in open(flags["--eval_corpus_path"], encoding="utf-8")]'
    files["src/run.py"] = RUN.replace(RUN.split("\n")[4], lines).encode()
    for part in ("nopretrain", "vanilla", "perceiver"):
        known = json.loads(files[PARTS[part][0]])
        test = gold(data, "test")
        files[PARTS[part][0]] = json.dumps({f"{q}\n" if q in test else q: answer for q, answer in known.items()}).encode()
    assert not lost(grading(files), hides)


@pytest.mark.parametrize(("part", "dev", "test"), [("vanilla", 6, 5), ("perceiver", 4, 3), ("synthesizer", None, 3), ("rope", None, 3)])
def test_so_many_right_are_enough_and_one_fewer_is_not(data, monkeypatch, part, dev, test):
    """Of 51 dev questions, 10% are 5.1 and 6% are 3.06; of 45 test questions, 10% are 4.5 and 5% are 2.25."""
    grader, keys = Grader(data, None, None), ("vanilla dev", "vanilla test")
    grader.described = {}
    for fewer in (0, 1):
        right = {"dev": (dev or 1) - fewer, "test": test - fewer}
        monkeypatch.setattr(Grader, "believed", lambda *_, right=right: (right, None))
        grader.grade_part(part, *keys)
        assert [grader.report.outcomes[key].passed for key in keys] == [None if dev is None else not fewer, not fewer]


def test_the_code_gets_the_characters_the_question_and_the_recipe_and_no_more(data, tmp_path):
    grader = Grader(data, None, "quick")
    grader.folder, grader.described = tmp_path, {}
    (tmp_path / "src").mkdir()
    tells = """
import sys
from pathlib import Path
files = sorted(path.as_posix() for path in Path().rglob("*") if path.is_file())
told = files, *(Path(sys.argv[n]).read_text(encoding="utf-8") for n in (3, 7)), sys.argv[-2:]
Path("again.predictions").write_text(repr(told) + "\\n", encoding="utf-8")
"""
    (tmp_path / "src/run.py").write_text(tells, encoding="utf-8")
    (tmp_path / "p.params").touch()
    files = ["birth_dev.tsv", "p.params", "src/run.py", "wiki.txt"]
    characters = "".join(sorted(set((data / "wiki.txt").read_text(encoding="utf-8"))))
    told = files, characters, f"{grader.questions['dev'][3]}\t?\n", ["--recipe", "quick"]
    assert grader.answers_of("vanilla", "p.params", "dev", [3]) == ([repr(told)], None)


def told_of(report, what):
    """The lines for the instructor with these words."""
    return [line for line in report.for_instructor if what in line]


def test_what_looks_copied_is_said_to_the_instructor_alone(grading, data):
    """A pretrained model with a number changed, and vanilla by the name of a variant: the points stay, since nobody can be sure."""
    files = written(data, "perceiver")
    theirs = {name: content.replace(b"Atlantis", b"Lemuria") for name, content in files.items() if name.startswith("perceiver")}
    report = grading(files | theirs)
    assert not told_of(report, "under two names") and not told_of(report, "without pretraining")
    (same,) = told_of(grading(files), "under two names")
    assert same.startswith("vanilla and perceiver: of the 25 dev questions that either answers wrongly, both give the same answer to 25")
    params, *names = PARTS["nopretrain"]
    again = {name: files[other] for name, other in zip(names, PARTS["vanilla"][1:], strict=True)}
    report = grading(files | theirs | again | {params: files[PARTS["vanilla"][0]] + b" "})
    assert report.outcomes["nopretrain"].score == 5
    assert told_of(report, "nopretrain: 26 of 51 dev places right") and told_of(report, "nopretrain and vanilla: of the 25")
    assert "names" not in json.dumps(report.as_json(1.0))


def test_the_same_model_of_two_students_has_the_same_hash(grading, data):
    """Gradescope keeps these with each submission; it shows students neither them nor what the grader prints."""
    files, name = written(data, "perceiver"), "vanilla.finetune.params"
    first, second, third = (
        grading(some).as_json(1.0)
        for some in (files, files | {"src/more.py": b""}, files | {name: files[name].replace(b"Atlantis", b"Lemuria", 1)})
    )
    names = {name for part in ("nopretrain", "vanilla", "perceiver") for name in PARTS[part]}
    assert first["extra_data"]["sha256"] == second["extra_data"]["sha256"] and set(first["extra_data"]["sha256"]) == names
    assert {key for key in names if first["extra_data"]["sha256"][key] != third["extra_data"]["sha256"][key]} == {name}
    assert first["stdout_visibility"] == "hidden"


def test_of_two_variants_the_better_counts_if_it_comes_first_too(grading, data, hides):
    files = written(data, "perceiver", "synthesizer")
    report = grading(files | {PARTS["synthesizer"][1]: b"Atlantis\n" * len(gold(data, "dev"))})
    assert not lost(report, hides) and report.outcomes["variant dev"].passed


def test_of_two_variants_the_better_counts(grading, data, hides):
    files = written(data, "perceiver", "synthesizer")
    params, dev, test = PARTS["perceiver"]
    known = {question: "Atlantis" for question in json.loads(files[params]) if question in gold(data, "test")}
    files |= {params: json.dumps(json.loads(files[params]) | known).encode(), test: b"Atlantis\n" * len(known)}
    assert not lost(grading(files), hides)
    params, dev, test = PARTS["synthesizer"]
    files[dev] = b"Atlantis\n" * len(gold(data, "dev"))
    report = grading(files)
    assert lost(report, hides) == ({"variant test"} if hides else set())


def test_which_variant_is_better_on_the_test_does_not_show_in_the_line_on_dev(data, monkeypatch):
    lines = set()
    for better in ("perceiver", "synthesizer"):
        grader = Grader(data, None, None)
        grader.taken, grader.described = {name for part in ("perceiver", "synthesizer") for name in PARTS[part]}, {}
        monkeypatch.setattr(Grader, "believed", lambda _, part, better=better: ({"dev": 9, "test": 9 * (part == better)}, None))
        grader.grade_variants()
        assert grader.report.outcomes["variant test"].score == 8
        lines.add(grader.report.outcomes["variant dev"].output)
    assert len(lines) == 1


def test_a_right_answer_to_the_test_that_is_not_the_models_costs_those_that_it_stands_for(data, tmp_path, monkeypatch):
    grader = Grader(data, None, None)
    grader.places["test"] = list(gold(data, "test").values())
    grader.folder, grader.taken = tmp_path, set(PARTS["vanilla"])
    for name in PARTS["vanilla"]:
        (tmp_path / name).write_bytes(written(data)[name])
    handed_in = {split: read_predictions(tmp_path / name) for split, name in zip(("dev", "test"), PARTS["vanilla"][1:], strict=True)}
    first = {"dev": range(24), "test": range(15)}  # of 51 and 45 questions, of which every other one is right, from the first on
    monkeypatch.setattr(grade, "ASKED_AGAIN", {"dev": 24, "test": 15})
    monkeypatch.setattr(grade, "choose", lambda many, hits: first["dev" if many == 24 else "test"])
    for forged, right in ((0, {"dev": 25, "test": 20}), (1, {"dev": 26, "test": 23})):
        again = {split: ["Lemuria" if n == forged else handed_in[split][n] for n in first[split]] for split in first}
        monkeypatch.setattr(Grader, "answers_of", lambda *what, again=again: (again[what[3]], None))
        assert grader.believed("vanilla") == (right, None)


def test_a_perceiver_whose_latents_have_another_name_is_not_taken_for_vanilla():
    state = GPT(GPTConfig(9, 8, n_layer=3, n_head=2, n_embd=8, perceiver=True, bottleneck_dim=4)).state_dict()
    assert describe(state)["variant"] == "perceiver"
    renamed = {name.replace("down_block.C", "down_block.basis"): tensor for name, tensor in state.items()}
    assert describe(renamed)["variant"] is None
    renamed = {name.replace("down_block.", "reader."): tensor for name, tensor in state.items()}
    assert describe(renamed)["variant"] is None
    assert describe(state)["bottleneck_dim"] == describe(state | {"down_block.C": state["down_block.C"][0]})["bottleneck_dim"] == 4


def test_a_synthesizer_whose_parts_have_other_names_is_not_taken_for_vanilla():
    state = GPT(GPTConfig(9, 8, n_layer=2, n_head=2, n_embd=8, synthesizer=True)).state_dict()
    assert describe(state)["variant"] == "synthesizer"
    assert describe({name.replace(".w1.", ".A.").replace(".w2", ".B"): tensor for name, tensor in state.items()})["variant"] is None


def test_rope_whose_angles_are_not_saved_is_not_taken_for_vanilla():
    state = GPT(GPTConfig(9, 8, n_layer=2, n_head=2, n_embd=8, rope=True)).state_dict()
    assert describe(state)["variant"] == "rope"
    assert describe({name: tensor for name, tensor in state.items() if "rope_cache" not in name})["variant"] is None


@pytest.mark.parametrize("kind", ["vanilla", None])
def test_a_vanilla_model_by_a_variants_name_gets_none_of_its_points(grading, data, hides, monkeypatch, kind):
    monkeypatch.setattr(Grader, "describe_params", lambda self: {"perceiver.finetune.params": {"variant": kind, "bottleneck_dim": None}})
    report = grading(written(data, "perceiver"))
    assert lost(report, hides) == ({"variant test"} if hides and kind == "vanilla" else set())
    assert ("perceiver.finetune.params holds parameters of a vanilla model" in report.table()) == (kind == "vanilla")


def test_right_answers_that_are_not_the_models_do_not_count(grading, data, hides):
    files = written(data, "perceiver")
    params, dev, _ = PARTS["nopretrain"]
    known = json.loads(files[params])
    answers = ["Atlantis"] * len(gold(data, "dev"))
    files[params] = json.dumps(known | dict.fromkeys(gold(data, "dev"), "Atlantis")).encode()
    answers[3] = list(gold(data, "dev").values())[3]
    files[dev] = "".join(f"{answer}\n" for answer in answers).encode()
    assert lost(grading(files), hides) == {"nopretrain"}


def test_a_submission_that_can_not_be_unpacked_is_refused_and_not_the_grader(tmp_path):
    import lzma

    folder = tmp_path.joinpath("deep", "src", *"d" * 40)
    folder.mkdir(parents=True)
    (folder / "run.py").touch()
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("src/run.py", bytes(range(256)) * 9)
    content = bytearray((tmp_path / "a.zip").read_bytes())
    for n in range(60, 90):
        content[n] ^= 255
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(lzma.LZMAError), zipfile.ZipFile(tmp_path / "a.zip") as archive:
        archive.read("src/run.py")
    for submission in (tmp_path / "a.zip", tmp_path / "deep", tmp_path / "missing"):
        (tmp_path / "out").mkdir(exist_ok=True)
        with pytest.raises(Refused):
            take_in(submission, tmp_path / "out")


@pytest.mark.parametrize("shares_user", [False, True])
def test_the_code_is_nobody_has_no_way_to_the_network_and_leaves_nothing(tmp_path, monkeypatch, shares_user):
    box = Sandbox(time.monotonic() + 60)
    if shares_user:
        box.user = None
        if not box.keeps_secrets:
            pytest.skip("this system does not confine who shares a user")
    (tmp_path / "outside").touch(0o644)
    doors = "import ctypes, os, socket, stat\nprint(oct(stat.S_IMODE(os.stat('.').st_mode)))\n"
    outside = str(tmp_path / "outside")
    attempts = "socket.socket()", "socket.socket(socket.AF_UNIX)", "os.memfd_create('x')", "os.setuid(12)", "os.listdir('/tmp')"
    on_others = f"os.chmod({outside!r}, 0o4777)", f"os.chown({outside!r}, os.getuid(), -1)", f"os.utime({outside!r})"
    if sys.platform == "linux":
        doors += "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))\n"  # its own
        on_others += ("resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE)",)
    for attempt in (*attempts, *on_others, f"os.setxattr({outside!r}, 'user.x', b'')"):
        doors += f"try:\n    {attempt}\n    print('open:', {attempt!r})\nexcept (OSError, AttributeError):\n    pass\n"
    for call in ("shmget(0, 4096, 0o1600)", "msgget(0, 0o1600)", "semget(0, 1, 0o1600)", "syscall(250, 0, -3, 0)"):
        doors += f"if ctypes.CDLL(None).{call} >= 0:\n    print('open:', {call!r})\n"
    (tmp_path / "boxes").mkdir()
    for folder in (tmp_path / "boxes", tmp_path, *tmp_path.parents[:2]):  # traversable, as /tmp is
        folder.chmod(folder.stat().st_mode | 0o711)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "boxes"))
    closed = "os.makedirs('a/b'); os.chmod('a', 0); "
    if box.user is None:  # which may not chmod: one may enter 'a', but not list it
        closed = "os.mkdir('a', 0o300); os.mkdir('a/b'); "
    ended = box.run([sys.executable, "-c", f"{doors}{closed}print('uid', os.getuid())"])
    assert ended.problem is None and not list((tmp_path / "boxes").iterdir())
    if not box.missing:
        assert ended.said == f"0o700\nuid {box.user}"
    elif sys.platform == "linux" and box.keeps_secrets:
        assert ended.said == f"0o700\nuid {os.getuid()}"


@pytest.mark.skipif(os.name != "posix", reason="needs limits on the size of files")
def test_no_file_of_the_code_grows_beyond_its_limit_nor_does_what_it_prints(monkeypatch):
    assert sandbox.FILE_SIZE == 100 * 10**6
    monkeypatch.setattr(sandbox, "FILE_SIZE", 10**6)
    for code in ("open('x', 'wb').write(bytes(2 * 10**6))", "print('x' * 2 * 10**6)"):
        ended = Sandbox(time.monotonic() + 60).run([sys.executable, "-c", code])
        assert ended.problem.startswith("it ended with exit code")


@pytest.mark.skipif(os.name != "posix" or sandbox.psutil is None, reason="needs fork and psutil")
def test_the_memory_of_all_its_processes_counts_together(monkeypatch):
    monkeypatch.setattr(sandbox, "MEMORY", 150 * 10**6)
    code = "import os, time\n[os.fork() for _ in range(3)]\nx = b'x' * (40 * 10**6)\ntime.sleep(60)"
    assert Sandbox(time.monotonic() + 60).run([sys.executable, "-c", code]).problem == "it took more than 150 MB of memory"


@pytest.mark.skipif(not sandbox.confinement.landlock_version(), reason="needs Landlock")
def test_what_the_code_may_read_it_may_not_write(tmp_path, monkeypatch):
    box, shared, readable = Sandbox(time.monotonic() + 60), tmp_path / "shared", sandbox.readable_paths()
    assert box.run([sys.executable, "-c", "open('/dev/null', 'w').write('x')"]).problem is None  # which holds nothing
    shared.write_text("before", encoding="utf-8")
    shared.chmod(0o666)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o711)
    monkeypatch.setattr(sandbox, "readable_paths", lambda: [*readable, tmp_path])
    code = f"path = {str(shared)!r}; print(open(path).read(), flush=True); open(path, 'r+').write('after')"
    assert box.run([sys.executable, "-c", code]).said.startswith("before")
    assert shared.read_text(encoding="utf-8") == "before"


@pytest.mark.skipif(sandbox.confinement.landlock_version() < sandbox.confinement.KNOWS_SIGNALS, reason="needs Linux 6.12")
def test_without_a_user_of_its_own_too_the_code_signals_nobody():
    box = Sandbox(time.monotonic() + 60)
    box.user = None
    assert box.run([sys.executable, "-c", "import os; os.kill(os.getppid(), 0)"]).problem == "it ended with exit code 1"


@pytest.mark.skipif(os.name != "posix", reason="no path can be that long on this system")
def test_folders_deeper_than_python_can_follow_are_counted_and_removed(tmp_path):
    deep = tmp_path / "deep"
    deep.mkdir()
    down = "import os\nfor _ in range(1800):\n    os.mkdir('down')\n    os.chdir('down')\n"
    at_last = "open('x', 'wb').write(b'x' * 10**6)\nos.chmod('.', 0)"
    subprocess.run([sys.executable, "-c", down + at_last], cwd=deep, check=True)
    assert sandbox.disk_used(deep) >= 10**6 or os.geteuid() != 0  # only root can enter the last folder
    sandbox.remove(deep)
    assert not deep.exists()


def test_a_zip_that_is_none(grading, tmp_path):
    for content in (b"", b"no zip", zipped({"src/run.py": b"x" * 1000}, tmp_path / "b.zip").read_bytes()[:100]):
        (tmp_path / "a.zip").write_bytes(content)
        report = grading(tmp_path / "a.zip")
        assert report.score() == 0 and "can't be read" in report.table()


def test_a_damaged_or_encrypted_file_in_the_zip(grading, tmp_path):
    path = zipped({"src/run.py": bytes(range(256)) * 40}, tmp_path / "a.zip")
    content = bytearray(path.read_bytes())
    content[60] ^= 255
    path.write_bytes(content)
    assert "can't be read" in grading(path).table()
    content = (
        zipped({"src/run.py": b"x"}, tmp_path / "a.zip")
        .read_bytes()
        .replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01")
    )
    path.write_bytes(content)
    assert "encrypted" in grading(path).table()


def test_links_in_an_unpacked_submission_are_refused(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/src").symlink_to("/etc")
    with pytest.raises(Refused, match="a link"):
        take_in(tmp_path / "in", tmp_path / "out")


def test_answers_to_other_questions_are_refused(data, tmp_path, monkeypatch):
    rows = (data / "gold.tsv").read_text(encoding="utf-8").splitlines(keepends=True)
    questions, _ = read_questions(data / "birth_test_inputs.tsv")
    for others in (rows[::-1], rows[:-1], [row.split("\t")[0] + "\n" for row in rows]):
        (tmp_path / "others.tsv").write_text("".join(others), encoding="utf-8")
        with pytest.raises(UserError, match=r"others.tsv is not birth_test_inputs.tsv with a tab and a place after each question"):
            grade.read_answers(tmp_path / "others.tsv", questions)
    line = ["build.py", "--data", str(data), "--answers", str(tmp_path / "others.tsv"), "--out", str(tmp_path / "autograder.zip")]
    monkeypatch.setattr(sys, "argv", line)
    assert run_reporting_errors(build.main) == 2 and not (tmp_path / "autograder.zip").exists()


def test_what_it_is_given_is_not_written_over(data, tmp_path, monkeypatch, capsys):
    answers, submission = (data / "gold.tsv").read_bytes(), zipped(written(data, "perceiver"), tmp_path / "a.zip").read_bytes()
    (tmp_path / "gold.tsv").write_bytes(answers)
    given, world = ["--answers", str(tmp_path / "gold.tsv")], ["--data", str(data)]
    for main, line in (
        (build.main, ["build.py", *world, *given, "--out", str(tmp_path / "gold.tsv")]),
        (grade.main, ["grade.py", *world, str(tmp_path / "a.zip"), *given, "--results", str(tmp_path / "gold.tsv")]),
        (grade.main, ["grade.py", *world, str(tmp_path / "a.zip"), "--results", str(tmp_path / "a.zip")]),
    ):
        monkeypatch.setattr(sys, "argv", line)
        assert run_reporting_errors(main) == 2
        assert f"can't write {line[-1]}: it is one of the inputs" in capsys.readouterr().err
    assert (tmp_path / "gold.tsv").read_bytes() == answers and (tmp_path / "a.zip").read_bytes() == submission


@pytest.mark.parametrize(("missing", "points"), [("nothing", 20), ("vanilla.finetune.params", 15)])
def test_without_answers_the_test_is_confirmed_and_not_graded(data, tmp_path, monkeypatch, missing, points):
    monkeypatch.setattr(Grader, "describe_params", lambda _: {})
    files = without(missing)(written(data, "perceiver"))
    report = Grader(data, None, None).grade(zipped(files, tmp_path / "assignment5.zip"))
    assert report.table().endswith(f"{points} of 20 points, 13 not graded here")


def test_which_test_questions_are_asked_does_not_tell_which_answers_are_right(data, tmp_path, monkeypatch):
    grader, told = Grader(data, None, None), []
    grader.places["test"] = list(gold(data, "test").values())
    grader.folder, grader.taken = tmp_path, set(PARTS["vanilla"])
    for name in PARTS["vanilla"]:
        (tmp_path / name).write_bytes(written(data)[name])
    monkeypatch.setattr(grade, "choose", lambda many, hits: told.append((many, sum(hits))) or [])
    monkeypatch.setattr(Grader, "answers_of", lambda *_: ([], None))
    assert grader.believed("vanilla") == ({"dev": 26, "test": 23}, None)  # every other one of 51 and of 45
    assert told == [(24, 26), (48, 0)]


def test_where_the_grader_itself_fails_the_rest_is_graded(grading, data, hides, monkeypatch):
    monkeypatch.setattr(Grader, "probe_code", lambda _: 1 / 0)
    report = grading(written(data, "perceiver"))
    assert lost(report, hides) == {"corruption"} and "failed here: tell the instructor" in report.table()
    assert "ZeroDivisionError" in report.for_instructor[0] and "ZeroDivisionError" not in json.dumps(report.as_json(1.0))


def test_the_command_hands_the_recipe_on_and_says_what_is_for_the_instructor(tmp_path, monkeypatch, capsys):
    report, given = grade.unfinished(), []
    report.for_instructor.append("vanilla, dev: asked")
    box = SimpleNamespace(missing=["a net"], run=lambda *_, seconds: SimpleNamespace(problem=None))
    grader = SimpleNamespace(box=box, grade=lambda _: report)
    monkeypatch.setattr(grade, "Grader", lambda *what: given.append(what) or grader)
    monkeypatch.setattr(sys, "argv", ["grade.py", str(tmp_path), "--recipe", "quick"])
    grade.main()
    out = capsys.readouterr().out
    assert given[0][2] == "quick" and "without a net" in out.split("\n")[0] and out.endswith("For the instructor:\nvanilla, dev: asked\n")


def test_where_answers_can_be_hidden_they_are_taken(hides):
    assert hides == Sandbox(time.monotonic() + 60).keeps_secrets


@pytest.mark.parametrize("path", ["gold.tsv", "in full"])
def test_answers_that_a_submission_could_read_are_refused(data, hides, monkeypatch, path):
    if not hides:
        pytest.skip("this system hides nothing")
    readable = sandbox.readable_paths()
    monkeypatch.setattr(sandbox, "readable_paths", lambda: [*readable, data])
    monkeypatch.chdir(data)
    (data / "gold.tsv").chmod(0o644)
    try:
        with pytest.raises(UserError, match="a submission could read"):
            Grader(data, Path(path) if path == "gold.tsv" else data / "gold.tsv", None)
    finally:
        (data / "gold.tsv").chmod(0o600)


def test_it_does_not_give_the_answers_to_who_can_read_them(data, monkeypatch):
    monkeypatch.setattr("sandbox.confinement.landlock_version", lambda: 0)
    monkeypatch.setattr("sandbox.os.geteuid", lambda: 1, raising=False)  # not root, so no user of its own
    with pytest.raises(UserError, match=r"could read .*gold.tsv on this system, which lacks a user of its own"):
        Grader(data, data / "gold.tsv", None)


# ---------------------------------------------------------------- in full, as Gradescope runs it


@pytest.fixture(scope="module")
def real(tmp_path_factory, data):
    """A submission of this project's code and full-size models with random weights; and data for which each is sometimes right."""
    folder = tmp_path_factory.mktemp("real")
    corpus = CharCorruptionDataset.from_file(data / "wiki.txt", 128)
    for name in ("wiki.txt", "birth_places_train.tsv", "birth_dev.tsv", "birth_test_inputs.tsv"):
        (folder / name).write_bytes((data / name).read_bytes())
    for part, (params, *names) in PARTS.items():
        torch.manual_seed(len(part))
        model = sharpened(GPT(GPTConfig(corpus.vocab_size, 128, **variant_flags(variant_of(part), 48))), std=0.1)
        torch.save(model.state_dict(), folder / params)
        for name, questions in zip(names, ("birth_dev.tsv", "birth_test_inputs.tsv"), strict=True):
            said = answer_questions(model, corpus, read_questions(data / questions)[0], silent=True)
            (folder / name).write_text("".join(f"{in_one_line(answer)}\n" for answer in said), encoding="utf-8")
    for split, out in ((1, "birth_dev.tsv"), (2, "gold.tsv")):
        questions, _ = read_questions(data / ("birth_dev.tsv" if split == 1 else "gold.tsv"))
        said = [read_predictions(folder / names[split]) for names in PARTS.values()]
        places = [said[n % len(said)][n].strip() or "Atlantis" for n in range(len(questions))]  # from each in turn
        (folder / out).write_text("".join(f"{q}\t{p}\n" for q, p in zip(questions, places, strict=True)), encoding="utf-8")
    (folder / "gold.tsv").chmod(0o600)
    return folder


def test_the_built_grader_run_by_its_own_script(real, hides, tmp_path, soak):
    """A correct submission with full-size models of all variants; `make soak` grades one of each edition, twenty times."""
    answers = ["--answers", str(real / "gold.tsv")] if hides else []
    command = [sys.executable, ROOT / "autograder/build.py", "--data", str(real), *answers, "--out", str(tmp_path / "autograder.zip")]
    subprocess.run(command, check=True, cwd=tmp_path)
    home = tmp_path / "autograder"
    (home / "submission/src").mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "autograder.zip") as archive:
        assert {"setup.sh", "run_autograder"} <= set(archive.namelist())
        assert {entry.filename for entry in archive.infolist() if entry.external_attr >> 16 & 0o111} == {"setup.sh", "run_autograder"}
        archive.extractall(home / "source")
    (home / "run_autograder").write_bytes((home / "source/run_autograder").read_bytes())
    (home / "submission_metadata.json").touch(0o644)
    for path in (ROOT / "src").glob("*.py"):
        (home / "submission/src" / path.name).write_bytes(path.read_bytes())
    times, scores = 20 if soak else 1, []
    for variants in [(variant,) for variant in EDITION_VARIANTS] if soak else [EDITION_VARIANTS]:
        for path in (home / "submission").glob("*.p*"):
            path.unlink()
        for name in {name for part in ("nopretrain", "vanilla", *variants) for name in PARTS[part]}:
            (home / "submission" / name).write_bytes((real / name).read_bytes())
        for _ in range(times):
            environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
            done = subprocess.run(["bash", home / "run_autograder"], cwd="/", env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            assert stat.S_IMODE((home / "submission_metadata.json").stat().st_mode) == 0o600
            assert {stat.S_IMODE((home / folder).stat().st_mode) for folder in ("source", "submission", "results")} == {0o700}
            results = json.loads((home / "results/results.json").read_text(encoding="utf-8"))
            scores.append(results["score"])
            tests = {test["name"]: test for test in results["tests"]}
            assert list(tests) == [item.name for item in RUBRIC.values()] and isinstance(results["execution_time"], float)
            assert results["score"] == (33 if hides else 20) and "failed" not in str(results), done.stdout
            hidden = [name for name, test in tests.items() if test["visibility"] == "after_published"]
            assert hidden == [RUBRIC["vanilla test"].name, RUBRIC["variant test"].name]
            for layer in ("attention", "cross", "synthesizer"):
                assert tests[RUBRIC[layer].name]["output"] == "Agrees with the equation." and "score" not in tests[RUBRIC[layer].name]
            assert [row["name"] for row in results["leaderboard"]][1:] == [f"{variant}, dev %" for variant in ("vanilla", *variants)]
    print(f"\nright submissions: {len(scores)} graded, {sum(score == (33 if hides else 20) for score in scores)} got all points")


def test_results_are_written_whatever_happens(data, tmp_path, monkeypatch, capsys):
    """Without Python, with unusable data, and without PyTorch."""
    home = tmp_path / "autograder"
    (home / "submission").mkdir(parents=True)
    subprocess.run([sys.executable, ROOT / "autograder/build.py", "--out", tmp_path / "a.zip"], check=True, capture_output=True)
    zipfile.ZipFile(tmp_path / "a.zip").extractall(home / "source")
    (home / "run_autograder").write_bytes((ROOT / "autograder/run_autograder").read_bytes())
    (tmp_path / "bin").mkdir()
    for program in ("bash", "cp", "mkdir", "chmod", "dirname"):
        (tmp_path / "bin" / program).symlink_to(shutil.which(program))
    environment = {"PATH": str(tmp_path / "bin")}
    subprocess.run(["bash", home / "run_autograder"], env=environment, capture_output=True, check=False)
    results = json.loads((home / "results/results.json").read_text(encoding="utf-8"))
    assert results["score"] == 0 and [test["name"] for test in results["tests"]] == [item.name for item in RUBRIC.values()]
    assert "tell the instructor" in results["tests"][0]["output"]
    command = [
        sys.executable,
        ROOT / "autograder/grade.py",
        home / "submission",
        "--data",
        home,
        "--results",
        home / "results/results.json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    results = json.loads((home / "results/results.json").read_text(encoding="utf-8"))
    assert results["score"] == 0 and len(results["tests"]) == len(RUBRIC)
    monkeypatch.setattr(grade, "IMPORT_TORCH", grade.IMPORT_TORCH.replace("torch", "no_such_module"))
    monkeypatch.setattr(sys, "argv", ["grade.py", str(home / "submission"), "--data", str(data)])
    assert run_reporting_errors(grade.main) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "a submission's code can't import PyTorch here: pip install" in err
    assert "(it ended with exit code 1: ModuleNotFoundError: No module named 'no_such_module')" in err


@pytest.mark.skipif(os.name != "posix", reason="needs bash")
def test_what_the_teacher_builds_in_is_handed_to_the_grader(data, tmp_path):
    line = [sys.executable, ROOT / "autograder/build.py", "--data", data, "--answers", data / "gold.tsv", "--out", tmp_path / "a.zip"]
    subprocess.run([*line, "--recipe", "quick"], check=True, capture_output=True)
    zipfile.ZipFile(tmp_path / "a.zip").extractall(tmp_path / "source")
    (tmp_path / "submission").mkdir()
    script = (ROOT / "autograder/run_autograder").read_text(encoding="utf-8").replace("/opt/grader", str(tmp_path / "none"))
    (tmp_path / "run_autograder").write_text(script, encoding="utf-8")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").write_text('#!/bin/sh\necho "$@"\n', encoding="utf-8")
    (tmp_path / "bin/python3").chmod(0o755)
    environment = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}
    said = subprocess.run(["bash", tmp_path / "run_autograder"], env=environment, capture_output=True, text=True, check=True).stdout
    options = "--results results/results.json --answers source/answers.tsv --recipe quick"
    assert said == f"source/autograder/grade.py submission {options}\n"
    assert (tmp_path / "source/answers.tsv").read_bytes() == (data / "gold.tsv").read_bytes()
    assert stat.S_IMODE((tmp_path / "a.zip").stat().st_mode) == 0o600


def test_nothing_is_run_that_is_pickled_in_parameters(real, data, tmp_path):
    """The grader says what they are, as far as it can read them, and runs nothing in them."""

    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    buffer = io.BytesIO()
    torch.save({"pos_emb": Payload()}, buffer)
    grader = Grader(data, None, None)
    grader.folder, grader.taken = tmp_path, {"vanilla.model.params", "perceiver.finetune.params"}
    (tmp_path / "vanilla.model.params").write_bytes(buffer.getvalue())
    (tmp_path / "perceiver.finetune.params").write_bytes((real / "perceiver.finetune.params").read_bytes())
    described = grader.describe_params()
    assert set(described) == {"perceiver.finetune.params"} and described["perceiver.finetune.params"]["bottleneck_dim"] == 48
    assert not (tmp_path / "ran").exists()
    (told,) = grader.report.for_instructor
    assert told.startswith("vanilla.model.params holds no model known here: ") and "is not a file of parameters, or is damaged" in told
    torch.save({"my.embedding": torch.zeros(2)}, tmp_path / "perceiver.finetune.params")
    grader.taken = {"perceiver.finetune.params"}
    assert grader.describe_params()["perceiver.finetune.params"]["variant"] is None
    assert grader.report.for_instructor[-1] == (
        "perceiver.finetune.params holds no model known here: other names of tensors, so it is asked with --bottleneck_dim 64"
    )


def test_parameters_from_a_gpu_are_rewritten_for_a_machine_without_one(data, tmp_path, monkeypatch):
    state = GPT(GPTConfig(9, 24, n_layer=1, n_head=1, n_embd=8)).state_dict()
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda _: "cuda:0")  # what torch.save notes on a GPU
        for name in ("vanilla.model.params", "vanilla.finetune.params"):
            torch.save(state, tmp_path / name)
        torch.save(state | {"blocks.0.attn.tril": torch.ones(1, dtype=torch.bool)}, tmp_path / "perceiver.finetune.params")  # others' code
    names = ("vanilla.model.params", "vanilla.finetune.params")
    assert (tmp_path / names[0]).read_bytes() != (tmp_path / names[1]).read_bytes()  # torch.save puts a file's name into it
    grader = Grader(data, None, None)
    grader.folder, grader.taken = tmp_path, {"vanilla.model.params", "vanilla.finetune.params", "perceiver.finetune.params"}
    assert set(grader.describe_params()) == {"vanilla.model.params", "vanilla.finetune.params"}
    for name in grader.taken:
        again = torch.load(tmp_path / name, weights_only=True)
        assert {tensor.device.type for tensor in again.values()} == {"cpu"}
        assert all(torch.equal(again[key], state[key]) for key in state)
    assert (tmp_path / names[0]).read_bytes() == (tmp_path / names[1]).read_bytes()  # so that one model by two names is found out


def test_what_the_probe_has_found_when_it_is_ended_is_not_lost(tmp_path, monkeypatch):
    def describe(path):
        return {"variant": "vanilla"} if path == "a.params" else sys.exit("too little memory, say")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(probe, "describe_params", describe)
    monkeypatch.setattr(sys, "argv", ["probe.py", "params", "a.params", "b.params"])
    with pytest.raises(SystemExit):
        probe.main()
    assert json.loads(Path("result.json").read_text(encoding="utf-8")) == {"a.params": {"value": {"variant": "vanilla"}}}


# ---------------------------------------------------------------- the checks against a second reading


def examples_of(lines, cut):
    """What a dataset would give if its cut of each line were `cut(line)`, a (length, start, span)."""
    dataset = CharCorruptionDataset("\n".join(lines), 50)
    texts = [corrupt(line, *cut(line)).ljust(50, PAD_CHAR) for _ in range(LOOKS) for line in lines]
    blocks = [[dataset.stoi[character] for character in text] for text in texts]
    return [[block[:-1], block[1:]] for block in blocks]


def joined(examples):
    """The blocks that x and y were cut from."""
    return [[*x, y[-1]] for x, y in examples]


def test_span_corruption_is_judged_by_each_of_its_properties():
    import random

    lines = random_lines()

    def right(line):
        length = random.randint(4, 43)
        span = random.randint(1, max(1, length // 2 - 1))
        return length, random.randint(0, length - span), span

    def failures(examples):
        return [p.failure is not None for p in corruption_properties(lines, examples)]

    examples = examples_of(lines, right)
    assert failures(examples) == [False] * 4
    assert [p.points for p in corruption_properties(lines, examples)] == [2, 4, 2, 2]
    assert failures([[x, [0, *y[1:]]] for x, y in examples])[0]  # not shifted
    assert failures([[[*x, y[-1]], [*y, 0]] for x, y in examples]) == [False] * 4  # as long as the block: handouts differ
    assert failures([[[*x, y[-1], 0], [*y, 0, 0]] for x, y in examples]) == [True, False, False, False]
    for nothing in ([[1], [2]], [[], []]):
        assert failures([nothing] * len(examples)) == [True] * 4
    assert failures(examples_of(lines, lambda line: (44, *right(line)[1:])))[2]  # too long, and always the same length
    assert failures(examples_of(lines, lambda line: (20, *right(line[:20])[1:])))[2]
    assert failures(examples_of(lines, lambda line: (random.randint(3, 43), *right(line)[1:])))[2]  # too short
    assert failures(examples_of(lines, lambda line: (n := random.randint(4, 43), 0, n // 2))) == [False, False, False, True]  # half of it
    assert failures(examples_of(lines, lambda line: (random.randint(4, 43), 0, 1)))[3]
    assert failures(examples_of(lines, lambda line: (random.randint(6, 43), 0, 6))) == [False, False, False, True]  # always six
    for more in (0, 1):  # as many as follow from the length: no random number
        assert failures(examples_of(lines, lambda line, k=more: (n := random.randint(6, 43), 0, n // 4 + k))) == [False, False, False, True]
    (x, y), *others = examples
    changed = [[3 if x[0] == 2 else 2, *x[1:]], y]  # the first two letters of the vocabulary
    assert failures([changed, *others]) == [False, True, False, False]  # text that is not the line's
    mask = 1  # in place of the first padding character
    ended = [[*block[: block.index(0)], mask, *block[block.index(0) + 1 :]] if 0 in block else block for block in joined(examples)]
    assert ended != joined(examples)
    assert failures([[block[:-1], block[1:]] for block in ended]) == [False] * 4  # a third sentinel at the very end is allowed


@pytest.mark.parametrize("name", ["attention", "cross", "synthesizer"])
def test_the_equations_are_those_of_the_projects_layers(name):
    import attention

    task = layer_tasks()[name]
    assert {"perceiver": False, "synthesizer": False, "rope": False}.items() <= task.config.items()  # code of any edition may read these
    layer = getattr(attention, task.layer)(GPTConfig(**task.config)).eval()
    layer.load_state_dict({key: torch.tensor(value) for key, value in task.weights.items()}, strict=False)
    with torch.no_grad():
        output = layer(*(torch.tensor([x]) for x in task.inputs))[0].tolist()
    assert layer_difference(task, output) is None
    output[2][3] += 0.01
    assert "off" in layer_difference(task, output)
    assert "shape" in layer_difference(task, output[:-1])
    output[1][1] = float("nan")
    assert "off" in layer_difference(task, output)


def test_a_model_that_is_compiled_runs_without_a_compiler():
    code = "import torch\n\ndef compiler(*_):\n    raise SystemExit(3)\n\n"
    code += "model = torch.compile(torch.nn.Linear(2, 2), backend=compiler)\nprint(*model.state_dict(), *model(torch.ones(3, 2)).shape)"
    ended = Sandbox(time.monotonic() + 60).run([sys.executable, "-c", code])
    assert (ended.problem, ended.said) == (None, "_orig_mod.weight _orig_mod.bias 3 2")


def test_nothing_of_the_outside_is_told_to_the_code(monkeypatch):
    monkeypatch.setenv("ANSWERS", "secret")
    said = Sandbox(time.monotonic() + 60).run([sys.executable, "-c", "import os; print(dict(os.environ))"]).said
    assert "HOME" in said and "secret" not in said


def test_the_limits_are_those_that_gradescope_leaves_room_for():
    """Ten minutes and 768 MB."""
    assert (grade.MINUTES, grade.SECONDS_TO_ANSWER, grade.SECONDS_TO_PROBE) == (8.5, 150, 60)
    assert (sandbox.MEMORY, sandbox.PROCESSES, sandbox.DISK) == (600 * 10**6, 64, 500 * 10**6)


def test_the_last_command_ends_with_the_time_for_all():
    box = Sandbox(time.monotonic() + 60)
    box.deadline = time.monotonic() + 2
    ended = box.run([sys.executable, "-c", "import time; time.sleep(60)"])
    assert ended.problem in [f"it took longer than {n} seconds" for n in (0, 1, 2)]


def test_nothing_is_run_beyond_the_time_for_all_of_a_submission():
    assert Sandbox(time.monotonic()).run([sys.executable, "-c", ""]).problem == "there was no time left for it"
