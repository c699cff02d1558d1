"""The notebooks, run from top to bottom with less work than they ask for; their own assertions count."""

import os
import shutil
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from checkpoint import save_params
from dataset import CharCorruptionDataset
from handout import EDITION_VARIANTS, commands
from model import GPT, GPTConfig
from run import parse_arguments

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "mingpt-demo"


def run(name, folder, **parameters):
    """Run a notebook in a folder with other values of its parameters. Returns all that it prints, and its outputs."""
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    assert len(cells) == 1, "one cell holds the parameters"
    for name in parameters:
        assert f"\n{name} = " in f"\n{cells[0].source}"
    cells[0].source += "".join(f"\n{name} = {value!r}" for name, value in parameters.items())
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "".join(output.get("text", "") for output in outputs), outputs


@pytest.fixture(autouse=True)
def this_python(monkeypatch, tmp_path):
    """The notebooks' shell finds the Python that runs the tests; no Jupyter settings are read or written."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))


def pictures(outputs):
    return sum("image/png" in output.get("data", {}) for output in outputs)


def test_attention(tmp_path, world):
    """Each of its experiments has an assertion of its own."""
    for name in ("src", "mingpt-demo"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "expt"))
    shutil.copytree(world, tmp_path, dirs_exist_ok=True)
    said, outputs = run("attention.ipynb", tmp_path / "mingpt-demo", SAMPLES=300, STEPS=250)
    assert pictures(outputs) == 8 and "c2 is u_b" in said and "\nuntrained; alike everywhere" in said and "on the name" in said
    assert list((tmp_path / "mingpt-demo/expt/attention").glob("events*"))


def test_attention_looks_into_a_model_that_was_trained(tmp_path, world):
    """The last cell, and those that it needs."""
    corpus = CharCorruptionDataset.from_file(world / "wiki.txt", 96)
    save_params(GPT(GPTConfig(corpus.vocab_size, 96, n_layer=2, n_head=2, n_embd=64)), tmp_path / "some.params")
    for path in world.iterdir():
        shutil.copy(path, tmp_path)
    for name in ("src", "mingpt-demo"):
        shutil.copytree(ROOT / name, tmp_path / "project" / name, ignore=shutil.ignore_patterns("__pycache__", "expt"))
    path = tmp_path / "project/mingpt-demo/attention.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if cell.id in ("cell-01", "cell-02", "cell-19")]
    nbformat.write(notebook, path)
    said, outputs = run(path, path.parent, PARAMS=str(tmp_path / "some.params"))
    assert pictures(outputs) == 1 and said.startswith("trained; alike everywhere") and "layer 2: " in said and "layer 3" not in said


def test_play_char_stands_alone(tmp_path, world):
    shutil.copytree(NOTEBOOKS, tmp_path / "alone", ignore=shutil.ignore_patterns("__pycache__", "expt"))
    said, outputs = run("play_char.ipynb", tmp_path / "alone", TEXT=str(world / "wiki.txt"), STEPS=40, LENGTH=32)
    assert "step   40, loss" in said and "--- temperature 1.2" in said and pictures(outputs) == 1


@pytest.fixture
def typed(tmp_path, monkeypatch):
    """Stand-ins for Python and for what makes the zip. Returns the function that tells with which words they were called."""
    if sys.platform == "win32":
        pytest.skip("the stand-ins are shell scripts")
    monkeypatch.chdir(tmp_path)
    for name in ("bin/python", "src/run.py", "collect_submission.sh"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        called = "" if name == "bin/python" else f"{name} "
        path.write_text(f'#!/bin/sh\necho "{called}$*" >> typed\ncase "$*" in *no_such_flag*) exit 2;; esac\n', encoding="utf-8")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return lambda: Path("typed").read_text(encoding="utf-8").splitlines()


def understood(line, monkeypatch):
    """What run.py makes of a command; raises if there is no such flag."""
    monkeypatch.setattr(sys, "argv", line.split())
    return vars(parse_arguments())


@pytest.mark.parametrize("extra", ["", "--recipe quick"])
@pytest.mark.parametrize("variant", EDITION_VARIANTS)
def test_colab_runs_every_command_of_the_handout(tmp_path, typed, variant, extra, monkeypatch):
    said, _ = run("colab.ipynb", tmp_path, FOLDER=str(tmp_path), VARIANT=variant, EXTRA=extra)
    assert "This is not Colab" in said
    expected = list(commands(variant))
    assert typed()[:3] == expected[:3] and typed()[-1] == f"collect_submission.sh --edition {variant}"
    assert len(typed()) == len(expected) + 1
    for line, handouts in zip(typed()[3:-1], expected[3:], strict=True):
        wanted = understood(f"{handouts} {extra}".replace(" --pretrain_lr 6e-3", ""), monkeypatch)
        wanted["resume"] = wanted["function"] in ("pretrain", "finetune")  # goes on where it was
        if extra and wanted["function"] == "pretrain":
            wanted["finetune_corpus_path"] = "birth_places_train.tsv"  # for recipes that read the questions then, too
        if wanted["writing_params_path"] == "vanilla.model.params":
            wanted["tb_expt_name"] = "nopretrain"  # apart from the other finetuning's curves
        assert understood(line, monkeypatch) == wanted


def test_a_failing_command_stops_colab(tmp_path, typed):
    with pytest.raises((CellExecutionError, AssertionError), match="exit code 2"):
        said, _ = run("colab.ipynb", tmp_path, FOLDER=str(tmp_path), EXTRA="--no_such_flag")
        assert False, said  # noqa: B011
    assert len(typed()) == 4  # two datasets, the baseline, and the first that fails


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_whole_and_committed_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")
    assert path.stat().st_size < 60_000
