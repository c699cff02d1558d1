"""collect_submission.sh: what it collects, and what it says when something is wrong. The commands that lead up to it."""

import ntpath
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

import reproduce
import submission
from cards import write_card
from console import UserError
from dataset import CharCorruptionDataset
from files import file_sha256
from handout import PARTS, commands, find_edition, variant_of
from helpers import run_here, sharpened, wait_for
from model import GPT, GPTConfig, variant_flags
from questions import answer_questions
from tables import in_one_line, read_questions

ROOT = Path(__file__).parents[1]
VANILLA = {*PARTS["nopretrain"], *PARTS["vanilla"]}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory, world):
    """Parameters of small models of all kinds, and what they answer."""
    folder = tmp_path_factory.mktemp("outputs")
    corpus = CharCorruptionDataset.from_file(world / "wiki.txt", 128)
    for part, (params, *names) in PARTS.items():
        torch.manual_seed(len(part))
        flags = variant_flags(variant_of(part), 48)
        model = sharpened(GPT(GPTConfig(corpus.vocab_size, 128, n_layer=3, n_head=1, n_embd=32, **flags)), std=0.5)
        torch.save(model.state_dict(), folder / params)
        for name, questions in zip(names, ("birth_dev.tsv", "birth_test_inputs.tsv"), strict=True):
            answers = answer_questions(model, corpus, read_questions(world / questions)[0])
            (folder / name).write_text("".join(f"{in_one_line(answer)}\n" for answer in answers), encoding="utf-8")
    return folder


@pytest.fixture
def project(tmp_path, world, outputs):
    """A copy of the project, in a path with a space, with all outputs of the perceiver edition."""
    folder = tmp_path / "my project"
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "collect_submission.sh", folder)
    for path in (*world.iterdir(), *(outputs / name for name in VANILLA | {*PARTS["perceiver"]})):
        shutil.copy(path, folder)
    return folder


def collect_by_script(project, *arguments, cwd):
    """Run the script as a user types it: exit code, stdout and stderr."""
    command = ["bash", str(project / "collect_submission.sh"), *arguments]
    environment = {"PYTHON": sys.executable, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=cwd, capture_output=True, encoding="utf-8", env=environment, check=False)
    return done.returncode, done.stdout, done.stderr


def collect(project, *arguments):
    """The same through the program that the script starts, in this process."""
    return run_here(["--folder", str(project), *arguments], main=submission.main)


def test_a_python_that_lacks_pytorch_is_passed_over(project):
    (bin_folder := project / "bin").mkdir()
    for name, flags in (("bare", "-S"), ("python", "")):  # -S: without installed packages
        (bin_folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {flags} "$@"\n')
        (bin_folder / name).chmod(0o755)
    (bin_folder / "dirname").symlink_to(shutil.which("dirname"))
    environment = {"PYTHON": str(bin_folder / "bare"), "PATH": str(bin_folder), "PYTHONOPTIMIZE": "1"}
    command = [shutil.which("bash"), str(project / "collect_submission.sh"), "--help"]
    found = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, check=False)
    assert found.returncode == 0 and "--edition" in found.stdout, found.stderr
    (bin_folder / "python").unlink()
    none = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, check=False)
    assert none.returncode == 2 and none.stderr.count("\n") == 1 and "with PyTorch" in none.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="creating links needs a privilege on Windows")
def test_of_an_older_zip_nothing_is_left_to_be_handed_in_by_mistake_where_it_is_a_link_too(project):
    (project / "elsewhere.zip").write_bytes(b"an older one")
    (project / "assignment5.zip").symlink_to("elsewhere.zip")
    (project / "vanilla.model.params").unlink()
    code, _, errors = collect(project)
    assert code == 1 and "vanilla.model.params is missing" in errors
    assert (project / "assignment5.zip").is_symlink() and not (project / "elsewhere.zip").exists()


def names_in(project):
    with zipfile.ZipFile(project / "assignment5.zip") as archive:
        return set(archive.namelist())


def test_the_edition_is_found_and_the_zip_holds_all_of_it(project, tmp_path):
    code, out, errors = collect_by_script(project, cwd=tmp_path)
    assert code == 0, errors
    assert "the perceiver edition" in out
    (project / "assignment5.zip").unlink()
    assert collect_by_script(project, "--folder", project.name, cwd=tmp_path)[0] == 0  # relative to where it is typed
    code = {f"src/{path.name}" for path in (ROOT / "src").glob("*.py")}
    data = {"wiki.txt", "birth_dev.tsv", "birth_places_train.tsv"}
    assert names_in(project) == code | data | VANILLA | {*PARTS["perceiver"]}
    with zipfile.ZipFile(project / "assignment5.zip") as archive:
        assert {entry.external_attr >> 16 & 0o777 for entry in archive.infolist()} == {0o644}


def test_the_share_of_dev_is_printed_beside_what_the_course_asks_for(project):
    questions, places = read_questions(project / "birth_dev.tsv")
    said = (project / "vanilla.pretrain.dev.predictions").read_text(encoding="utf-8").splitlines()
    places = [answer.strip() or place for answer, place in zip(said[:3], places, strict=False)] + places[3:]
    gold = "".join(f"{question}\t{place}\n" for question, place in zip(questions, places, strict=True))
    (project / "birth_dev.tsv").write_text(gold, encoding="utf-8")
    right = sum(place == answer for place, answer in zip(places, said, strict=True))
    _, lines, _ = collect(project)
    share = f"{right} of {len(said)} right ({100 * right / len(said):.1f}%)"
    assert f"vanilla.pretrain.dev.predictions: {share}; the course asks for 10%\n" in lines
    assert "perceiver.pretrain.dev.predictions: 0 of " in lines and "asks for 6%, and 5% of the test, which nobody here can know" in lines


@pytest.mark.parametrize(
    ("variant", "asked"), [("synthesizer", "; the course asks for 5% of the test, which nobody here can know\n"), ("rope", "%)\n")]
)
def test_another_edition_and_all(project, outputs, variant, asked):
    for name in PARTS[variant]:
        shutil.copy(outputs / name, project)
    for name in PARTS["perceiver"][1:]:
        (project / name).unlink()
    _, said, _ = collect(project)
    (share,) = [line for line in said.splitlines(keepends=True) if line.startswith(f"{variant}.pretrain.dev.predictions: ")]
    assert f"the {variant} edition" in said and share.endswith(asked)
    assert ("compare what the zip holds" in said) == (variant == "rope")
    assert names_in(project) >= {*PARTS[variant]} | VANILLA
    code, _, errors = collect(project, "--edition", "all")
    assert code == 1 and "Problems found (the all edition has 18 files)" in errors
    assert all(f"{name} is missing" in errors for name in PARTS["perceiver"][1:])
    assert find_edition(project) == variant
    everything = {name for names in PARTS.values() for name in names}
    for name in everything:
        shutil.copy(outputs / name, project)
    code, _, errors = collect(project, "--edition", "all")
    assert code == 0 and names_in(project) >= everything, errors
    assert find_edition(project) == "perceiver"  # the first of three


def test_missing_files_are_listed_and_nothing_is_zipped(project):
    (project / "assignment5.zip").write_bytes(b"an older one")
    (project / "vanilla.model.params").unlink()
    (project / "perceiver.pretrain.test.predictions").unlink()
    code, _, errors = collect(project)
    assert code == 1 and not (project / "assignment5.zip").exists()
    problems = [line.strip() for line in errors.splitlines()[1:]]
    assert problems == ["vanilla.model.params is missing", "perceiver.pretrain.test.predictions is missing"]
    assert collect_by_script(project, cwd=project)[0] == 1


def test_what_does_not_belong_together_is_named_and_nothing_is_zipped(project, outputs):
    shutil.copy(outputs / "synthesizer.finetune.params", project / "perceiver.finetune.params")
    shutil.copy(outputs / "vanilla.pretrain.test.predictions", project / "vanilla.nopretrain.test.predictions")
    short = (project / "vanilla.pretrain.dev.predictions").read_text(encoding="utf-8").split("\n", 1)[1]
    (project / "vanilla.pretrain.dev.predictions").write_text(short, encoding="utf-8")
    code, _, errors = collect(project)
    assert code == 1 and not (project / "assignment5.zip").exists() and "Traceback" not in errors
    stale, lines, variant = errors.splitlines()[1:]
    assert "vanilla.nopretrain.test.predictions is stale: vanilla.model.params answers" in stale
    assert "vanilla.pretrain.dev.predictions has 9 lines, birth_dev.tsv has 10 questions" in lines
    assert "perceiver.finetune.params are parameters of a synthesizer model, not of a perceiver one" in variant


def test_one_answer_may_be_rounded_otherwise_and_no_more(project):
    """With only ten questions, all are asked again."""
    assert submission.ASKED_AGAIN == 20  # as the README says
    path = project / "vanilla.pretrain.dev.predictions"
    said = path.read_text(encoding="utf-8").splitlines()
    for wrong, expected in ((1, 0), (2, 1)):
        path.write_text("".join(f"{line}\n" for line in ["Nowhere"] * wrong + said[wrong:]), encoding="utf-8")
        code, _, errors = collect(project)
        assert code == expected, errors
    assert f"{path.name} is stale: vanilla.finetune.params answers 2 of 10 questions differently: evaluate again" in errors


def test_characters_that_evaluate_was_told_to_skip_are_skipped_here_too(project):
    path = project / "birth_dev.tsv"
    path.write_text(path.read_text(encoding="utf-8").replace("Where was", "Where\u2603 was"), encoding="utf-8")
    code, _, errors = collect(project)
    assert code == 0, errors


def test_damaged_parameters_and_those_of_another_text_are_named(project):
    with (project / "wiki.txt").open("a", encoding="utf-8") as file:
        file.write("a new character: \u0394\n")
    (project / "vanilla.model.params").write_bytes(b"no parameters")
    code, _, errors = collect(project)
    assert code == 1 and "vanilla.model.params is not a file of parameters, or is damaged" in errors
    assert "vanilla.finetune.params was trained on another text than this wiki.txt" in errors


def test_the_same_files_make_the_same_zip(project):
    collect(project)
    first = (project / "assignment5.zip").read_bytes()
    for path in project.glob("*.params"):
        path.touch()
    collect(project)
    assert (project / "assignment5.zip").read_bytes() == first


def test_the_invented_corpus_is_announced(project, monkeypatch):
    assert "whose people are invented" not in collect(project)[1]
    names = ("wiki.txt", "birth_places_train.tsv", "birth_dev.tsv", "birth_test_inputs.tsv")
    bundled = {name: file_sha256(project / name) for name in names}
    monkeypatch.setattr("cards.BUNDLED_SHA256", bundled)
    out = collect(project)[1]
    assert "whose people are invented" in out and "about invented people" not in out
    del bundled["wiki.txt"]  # as if the course's text were there, but none of the course's tables
    out = collect(project)[1]
    cure = "if that is the course's, replace it, too, and redo what used it."
    for name in names[1:]:
        assert f"{name} is the bundled one, about invented people, but the text is not: {cure}\n" in out


# ---------------------------------------------------------------- make reproduce

HANDOUT = """
src/dataset.py namedata
src/dataset.py charcorruption
london_baseline.py
src/run.py finetune vanilla wiki.txt --writing_params_path vanilla.model.params --finetune_corpus_path birth_places_train.tsv
src/run.py evaluate vanilla wiki.txt --reading_params_path vanilla.model.params --eval_corpus_path birth_dev.tsv --outputs_path vanilla.nopretrain.dev.predictions
src/run.py evaluate vanilla wiki.txt --reading_params_path vanilla.model.params --eval_corpus_path birth_test_inputs.tsv --outputs_path vanilla.nopretrain.test.predictions
src/run.py pretrain vanilla wiki.txt --writing_params_path vanilla.pretrain.params
src/run.py finetune vanilla wiki.txt --reading_params_path vanilla.pretrain.params --writing_params_path vanilla.finetune.params --finetune_corpus_path birth_places_train.tsv
src/run.py evaluate vanilla wiki.txt --reading_params_path vanilla.finetune.params --eval_corpus_path birth_dev.tsv --outputs_path vanilla.pretrain.dev.predictions
src/run.py evaluate vanilla wiki.txt --reading_params_path vanilla.finetune.params --eval_corpus_path birth_test_inputs.tsv --outputs_path vanilla.pretrain.test.predictions
src/run.py pretrain perceiver wiki.txt --bottleneck_dim 64 --pretrain_lr 6e-3 --writing_params_path perceiver.pretrain.params
src/run.py finetune perceiver wiki.txt --bottleneck_dim 64 --reading_params_path perceiver.pretrain.params --writing_params_path perceiver.finetune.params --finetune_corpus_path birth_places_train.tsv
src/run.py evaluate perceiver wiki.txt --bottleneck_dim 64 --reading_params_path perceiver.finetune.params --eval_corpus_path birth_dev.tsv --outputs_path perceiver.pretrain.dev.predictions
src/run.py evaluate perceiver wiki.txt --bottleneck_dim 64 --reading_params_path perceiver.finetune.params --eval_corpus_path birth_test_inputs.tsv --outputs_path perceiver.pretrain.test.predictions
"""  # noqa: E501 - commands as they are typed


def test_the_commands_are_the_handouts_in_their_order():
    assert list(commands("perceiver")) == HANDOUT.strip().split("\n")
    others = [line.replace(" --bottleneck_dim 64", "").replace(" --pretrain_lr 6e-3", "") for line in HANDOUT.strip().split("\n")]
    for variant in ("synthesizer", "rope"):
        assert list(commands(variant)) == [line.replace("perceiver", variant) for line in others]


@pytest.mark.skipif(sys.platform == "win32", reason="needs Unix signals")
@pytest.mark.parametrize("ends", ["by itself", "in good order", "as if nothing had come"])
def test_sigterm_is_sent_on_and_what_it_makes_of_it_is_waited_for(tmp_path, ends):
    code = {"in good order": 143, "as if nothing had come": 0}.get(ends)
    note = "" if code is None else f"signal.signal(signal.SIGTERM, lambda *_: sys.exit({code}));"
    child = f"import signal, sys, time; {note} open('there', 'w'); time.sleep(60)"
    parent = f"import sys, reproduce; sys.exit(reproduce.run([sys.executable, '-c', {child!r}], {str(tmp_path)!r}))"
    with subprocess.Popen([sys.executable, "-c", parent], cwd=ROOT / "src") as process:
        wait_for(tmp_path / "there")
        process.terminate()
        assert process.wait(timeout=30) == 143


@pytest.mark.skipif(sys.platform == "win32", reason="needs Unix signals")
@pytest.mark.parametrize("code", [130, 0])
def test_ctrl_c_reaches_the_command_too_and_what_it_saves_is_waited_for(tmp_path, code):
    note = f"lambda *_: (time.sleep(2), open('saved', 'w').close(), sys.exit({code}))"
    child = f"import signal, sys, time; signal.signal(signal.SIGINT, {note}); open('there', 'w'); time.sleep(60)"
    parent = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); import reproduce; "
    parent += f"sys.exit(reproduce.run([sys.executable, '-c', {child!r}], {str(tmp_path)!r}))"
    with subprocess.Popen([sys.executable, "-c", parent], cwd=ROOT / "src", start_new_session=True) as process:
        wait_for(tmp_path / "there")
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.wait(timeout=30) == 130 and (tmp_path / "saved").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="creating links needs a privilege on Windows")
def test_from_a_folder_that_is_a_link_a_command_is_found(tmp_path):
    (tmp_path / "elsewhere/deep").mkdir(parents=True)
    (tmp_path / "demo").symlink_to(tmp_path / "elsewhere/deep")
    (tmp_path / "run.py").touch()
    assert (tmp_path / "demo" / reproduce.path_from(tmp_path / "demo", tmp_path / "run.py")).samefile(tmp_path / "run.py")


def test_on_another_drive_of_windows_a_command_has_its_whole_path(monkeypatch):
    here, there = Path("/data"), Path("/project/src/run.py")
    assert Path(reproduce.path_from(here, there)) == Path("../project/src/run.py")
    with monkeypatch.context() as patch:
        patch.setattr(os.path, "relpath", lambda path, start: ntpath.relpath(f"C:{path}", f"D:{start}"))
        assert reproduce.path_from(here, there) == str(there)


def test_parameters_of_another_recipe_or_text_are_named_before_the_first_command(monkeypatch, tmp_path):
    """Each of their checkpoints would stop a later command, perhaps hours after the one before."""
    ran = []
    monkeypatch.setattr(reproduce, "run", lambda command, folder: ran.append(command) or 0)
    (tmp_path / "wiki.txt").write_text("Ann Lee. Ann Lee was born in Ulm.\n", encoding="utf-8")
    for name in ("vanilla.model.params", "perceiver.pretrain.params"):
        (tmp_path / name).write_bytes(b"parameters")
        write_card(tmp_path / name, {"arguments": {"recipe": "laptop"}, "corpus_sha256": file_sha256(tmp_path / "wiki.txt")})
    assert reproduce.reproduce("perceiver", "laptop", tmp_path) == 0 and ran
    ran.clear()
    with pytest.raises(UserError, match=r"^vanilla.model.params, perceiver.pretrain.params: trained with another recipe than handout, or"):
        reproduce.reproduce("perceiver", "handout", tmp_path)
    (tmp_path / "wiki.txt").write_text("Cy Du. Cy Du was born in Lima.\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"^vanilla.model.params: trained with another recipe than laptop, or on another wiki.txt"):
        reproduce.reproduce("synthesizer", "laptop", tmp_path)
    assert not ran


def test_every_command_is_run_and_a_failure_stops_there(monkeypatch, capsys):
    ran, fails = [], "none"
    monkeypatch.setattr(reproduce, "refuse_others", lambda *_: None)  # somebody may have trained in this folder
    monkeypatch.setattr(reproduce, "run", lambda command, folder: ran.append(" ".join(command[1:])) or (7 if fails in ran[-1] else 0))
    assert reproduce.reproduce("perceiver", "handout", Path()) == 0
    resumable = [line + " --resume" if "pretrain " in line or "finetune " in line else line for line in HANDOUT.strip().split("\n")]
    resumable = [line + " --tb_expt_name nopretrain" if "vanilla.model.params" in line else line for line in resumable]
    assert [line.removeprefix(f"{ROOT}/") for line in ran] == [*resumable, "src/submission.py --edition perceiver --folder ."]
    assert "vanilla.pretrain.params" in capsys.readouterr().out
    ran.clear()
    fails = "pretrain vanilla"
    assert reproduce.reproduce("synthesizer", "laptop", Path()) == 7
    pretraining = "pretrain vanilla wiki.txt --writing_params_path vanilla.pretrain.params --recipe laptop"
    assert ran[-1].endswith(f"{pretraining} --finetune_corpus_path birth_places_train.tsv --resume")
    assert "Stopped with exit code 7. The same command resumes from here, once that is fixed." in capsys.readouterr().out
    fails = "submission.py"
    assert reproduce.reproduce("perceiver", "handout", Path()) == 7 and "What each command took" not in capsys.readouterr().out


def test_reproduce_does_what_its_command_line_says(monkeypatch):
    seen = []
    monkeypatch.setattr(reproduce, "reproduce", lambda *what: seen.append(what) or 0)
    for line in ("--edition synthesizer --recipe laptop", ""):
        assert run_here(line, main=reproduce.main)[0] == 0
    assert seen == [("synthesizer", "laptop", Path()), ("perceiver", "handout", Path())]


def test_another_recipe_reaches_every_command_and_the_handouts_rate_none(monkeypatch, tmp_path):
    ran = []
    monkeypatch.setattr(reproduce, "run", lambda command, folder: ran.append(" ".join(command[1:])) or 0)
    assert reproduce.reproduce("perceiver", "laptop", tmp_path) == 0
    typed = [line for line in ran if "src/run.py " in line]
    assert len(typed) == 11 and all(" --recipe laptop" in line and "--pretrain_lr" not in line for line in typed)
    trains = [line for line in typed if "src/run.py evaluate" not in line]
    assert len(trains) == 5 and all("--finetune_corpus_path birth_places_train.tsv" in line and " --resume" in line for line in trains)
