"""Several processes under torchrun compute what one does."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from test_faults import curve, wait_for

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="torchrun and signals as Unix has them")

RUN = Path(__file__).parents[1] / "src" / "run.py"
PRETRAIN = "pretrain vanilla wiki.txt --recipe quick --max_epochs 2 --finetune_corpus_path birth_places_train.tsv"


def start(n_processes, line, *torchrun):
    """run.py under torchrun, on this machine's CPU."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(n_processes), *torchrun]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": os.environ | {"OMP_NUM_THREADS": "1"}}
    return subprocess.Popen([*command, RUN, *line.split(), "--device", "cpu"], **pipes)


def execute(n_processes, line, *torchrun):
    """Its exit code, and what it printed on stdout and stderr."""
    with start(n_processes, line, *torchrun) as process:
        out, errors = process.communicate(timeout=300)
    return process.returncode, out, errors


def assert_same_run(name, expected, tolerance=5e-3):
    """The same steps with the same rates, and losses and parameters that differ by rounding."""
    mine, theirs = curve(name), curve(expected)
    assert mine["train/lr"] == theirs["train/lr"]
    assert [step for step, _ in mine["train/loss"]] == [step for step, _ in theirs["train/loss"]]
    losses = [[value for _, value in c["train/loss"]] for c in (mine, theirs)]
    assert losses[0] == pytest.approx(losses[1], rel=tolerance)
    states = [torch.load(f"{n}.params", weights_only=True) for n in (name, expected)]
    for key, tensor in states[0].items():
        assert (tensor - states[1][key]).abs().mean() <= tolerance, key


@pytest.fixture(scope="module")
def alone(world, tmp_path_factory):
    """A folder with the run of a single process."""
    folder = tmp_path_factory.mktemp("alone")
    for path in world.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    line = f"{PRETRAIN} --writing_params_path one.params --tb_expt_name one"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, RUN, *line.split()], cwd=folder, check=True, capture_output=True, env=environment)
    return folder


@pytest.fixture
def beside(alone, monkeypatch):
    monkeypatch.chdir(alone)


@pytest.mark.parametrize("n_processes", [2, 4])
def test_any_number_of_processes_trains_and_answers_as_one(beside, n_processes):
    name = f"by{n_processes}"
    code, out, errors = execute(n_processes, f"{PRETRAIN} --writing_params_path {name}.params --tb_expt_name {name}")
    assert code == 0, errors
    assert out.count("number of parameters") == 1 and out.count("Parameters written") == 1  # the first one speaks
    assert len(list(Path("expt/pretrain").glob(f"{name}_*/events*"))) == 1
    assert_same_run(name, "one")

    answers = []
    for n in (1, n_processes):
        line = "evaluate vanilla wiki.txt --recipe quick --reading_params_path one.params --eval_corpus_path birth_dev.tsv"
        assert execute(n, f"{line} --outputs_path o{n}")[0] == 0
        answers.append(Path(f"o{n}").read_bytes())
    assert answers[0] == answers[1] and answers[0].count(b"\n") == len(Path("birth_dev.tsv").read_text(encoding="utf-8").splitlines())


def test_a_run_may_go_on_in_another_number_of_processes(beside):
    line = f"{PRETRAIN} --writing_params_path other.params --tb_expt_name other --checkpoint_minutes 0"
    with start(2, line) as process:
        wait_for("other.params.checkpoint.previous")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
    assert process.returncode != 0 and not Path("other.params").exists()
    code, out, errors = execute(4, f"{line} --resume")
    assert code == 0, errors
    assert re.search(r"^Going on after step \d+\.$", out, flags=re.MULTILINE)
    assert_same_run("other", "one")


def test_of_a_killed_worker_torchrun_restarts_the_job_which_goes_on(beside):
    line = f"{PRETRAIN} --max_epochs 3 --writing_params_path {{0}}.params --tb_expt_name {{0}} --checkpoint_minutes 0 --resume"
    assert execute(2, line.format("whole"))[0] == 0
    with start(2, line.format("killed"), "--max_restarts", "1") as process:
        wait_for("killed.params.checkpoint.previous")
        time.sleep(0.2)
        workers = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True).stdout.split()
        os.kill(int(workers[-1]), signal.SIGKILL)
        out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert re.search(r"^Going on after step \d+\.$", out, flags=re.MULTILINE)
    assert_same_run("killed", "whole")


def test_a_mistake_is_said_once(beside):
    code, _, errors = execute(2, "pretrain vanilla nowhere.txt --writing_params_path p")
    assert code != 0 and errors.count("run.py: error: can't read nowhere.txt") == 1
