"""The demo's end: the table and the page. Its commands are those of `make reproduce`, which is tested in test_submission.py."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import demo
from checkpoint import save_params
from console import UserError
from dataset import CharCorruptionDataset
from handout import DEV, PARTS, TEXT, variant_of
from helpers import sharpened
from model import GPT, GPTConfig, variant_flags
from tables import read_questions

ROOT = Path(__file__).parents[1]


MAKE = pytest.mark.skipif(sys.platform == "win32" or shutil.which("make") is None, reason="needs make and a shell")


@MAKE
@pytest.mark.parametrize(
    ("typed", "command"),
    [
        ("reproduce EDITION=rope RECIPE=laptop", "src/reproduce.py --edition rope --recipe laptop"),
        ("autograder ANSWERS=gold.tsv INDEX=URL", 'autograder/build.py --answers "gold.tsv" --index "URL"'),
        ("autograder ANSWERS=gold.tsv INDEX=URL RECIPE=quick", 'autograder/build.py --answers "gold.tsv" --index "URL" --recipe "quick"'),
    ],
)
def test_make_hands_on_what_is_typed(typed, command):
    made = subprocess.run(["make", "-n", "--no-print-directory", *typed.split()], cwd=ROOT, capture_output=True, encoding="utf-8")
    assert made.returncode == 0 and made.stdout.rstrip().endswith(command), made.stderr


@MAKE
def test_an_old_python_is_refused_before_anything_is_installed(tmp_path):
    for name in ("Makefile", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path)
    old = tmp_path / "old"  # claims to be 3.10, and can do nothing else
    say = f"""[ "$1" = -c ] && exec "{sys.executable}" -c "import sys; sys.version_info = (3, 10); $2\""""
    old.write_text(f"#!/bin/sh\n{say}\nexit 9\n", encoding="utf-8")
    old.chmod(0o755)
    made = subprocess.run(["make", "demo", "PYTHON=./old"], cwd=tmp_path, capture_output=True, encoding="utf-8")
    assert made.returncode == 2 and "Python 3.11 or newer is needed" in made.stderr
    assert not (tmp_path / ".venv").exists()


@MAKE
def test_make_mends_an_environment_whose_making_was_stopped_or_whose_python_is_gone(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "requirements.txt").touch()
    (tmp_path / "src").mkdir()
    (tmp_path / "src/demo.py").write_text("print('the demo')", encoding="utf-8")
    command = ["make", "--no-print-directory", "demo", f"PYTHON={sys.executable}"]  # under `make test`, make would print directories
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", ".venv"], cwd=tmp_path, check=True)
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8")
    assert made.returncode == 0 and made.stdout.endswith("the demo\n"), made.stderr
    (tmp_path / ".venv/bin/python").unlink()
    (tmp_path / ".venv/bin/python").symlink_to(tmp_path / "uninstalled")
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8")
    assert made.returncode == 0 and made.stdout.endswith("the demo\n"), made.stderr


@pytest.fixture
def replace_commands(tmp_path, monkeypatch):
    """A function that replaces the edition's commands, which take minutes, by its argument; the demo gets a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "PEOPLE", 60)
    monkeypatch.setattr(sys, "argv", ["demo.py"])
    return lambda reproduce: monkeypatch.setattr(demo, "reproduce", reproduce)


def test_it_ends_with_a_table_and_a_page(replace_commands, tmp_path, capsys):
    def reproduce(edition, recipe, folder):
        assert (edition, recipe) == ("perceiver", "quick")
        corpus = CharCorruptionDataset.from_file(folder / TEXT, 96)
        _, places = read_questions(folder / DEV)
        said = {"nopretrain": ["Atlantis"] * len(places), "vanilla": places, "perceiver": [*places[:3], *["Rome?"] * (len(places) - 3)]}
        for part, predictions in said.items():
            torch.manual_seed(0)
            flags = variant_flags(variant_of(part), 48)
            model = GPT(GPTConfig(corpus.vocab_size, 96, n_layer=3, n_embd=32, n_head=1, **flags))
            params, outputs, _ = PARTS[part]
            save_params(sharpened(model, std=0.5), folder / params)
            (folder / outputs).write_text("".join(f"{place}\n" for place in predictions), encoding="utf-8")
        return 0

    replace_commands(reproduce)
    assert demo.main() == 0
    out = capsys.readouterr().out
    questions, places = read_questions(tmp_path / "demo" / DEV)
    assert len(places) == 10 and "London" not in places
    answers = out.partition("its text said:\n")[2].split("\n")
    for question, place, line in zip(questions[:8], places[:8], answers[:8], strict=True):
        assert re.fullmatch(rf"  {re.escape(question)} +{re.escape(place)} +right", line)
    # sqrt(p (1 - p) / 10) with p = 1/12, 1/12, 11/12 and 4/12
    assert (
        """
Birth places of 10 people about whom the model was asked nothing in training:
  always "London"            0 right    0.0%  (standard error 8.7)
  vanilla, no pretraining    0 right    0.0%  (standard error 8.7)
  vanilla, pretrained       10 right  100.0%  (standard error 8.7)
  perceiver, pretrained      3 right   30.0%  (standard error 14.9)
"""
        in out
    )
    for script in ("src/run.py", "autograder/grade.py"):  # from wherever it was started
        (typed,) = re.findall(rf": python (['\"]?)(.*{script.partition('/')[2]})\1 ", out)
        assert Path(typed[1]).samefile(ROOT / script)
    page = (tmp_path / "demo/report.html").read_text(encoding="utf-8")
    for name, wrong in {"vanilla, no pretraining": 10, "vanilla, pretrained": 0, "perceiver, pretrained": 7}.items():
        assert f"{name}: {wrong} wrong answers" in page


def test_others_files_in_its_folder_are_left_alone(replace_commands, tmp_path):
    replace_commands(lambda *_: 3)
    assert [demo.main(), demo.main()] == [3, 3]  # its own are written anew
    for name in ("wiki.txt", "birth_dev.tsv", "birth_test.tsv"):
        own = (tmp_path / "demo" / name).read_bytes()
        (tmp_path / "demo" / name).write_text("the course's", encoding="utf-8")
        with pytest.raises(UserError, match=rf"demo.{name} is not this demo's: move it elsewhere, or delete the folder demo$"):
            demo.main()
        assert (tmp_path / "demo" / name).read_text(encoding="utf-8") == "the course's"
        (tmp_path / "demo" / name).write_bytes(own)
    assert demo.main() == 3


def test_a_command_that_failed_ends_it(replace_commands, tmp_path, capsys):
    replace_commands(lambda *_: 2)
    assert demo.main() == 2
    assert capsys.readouterr().out.endswith("To begin anew instead, delete the folder demo.\n")
    assert not (tmp_path / "demo/report.html").exists()
