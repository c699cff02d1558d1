"""Runs that are killed, stopped, or denied their files, as processes of their own. `make soak` does it at length."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits as Unix has them")

SOURCE = Path(__file__).parents[1] / "src"
PRETRAIN = "pretrain vanilla wiki.txt --recipe quick --max_epochs 2 --finetune_corpus_path birth_places_train.tsv"


@pytest.fixture
def folder(tmp_path, world, monkeypatch):
    for path in world.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def start(line, **kwargs):
    """run.py as a process, on one thread, its output in pipes."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": os.environ | {"OMP_NUM_THREADS": "1"}}
    return subprocess.Popen([sys.executable, SOURCE / "run.py", *line.split()], **pipes | kwargs)


def execute(line, **kwargs):
    """Its exit code and what it printed on stderr."""
    with start(line, **kwargs) as process:
        return process.wait(), process.stderr.read()


def wait_for(path):
    """Until the file is there."""
    for _ in range(1200):
        if Path(path).exists():
            return
        time.sleep(0.05)
    raise TimeoutError(path)


def curve(name):
    """The points of a run that TensorBoard shows, by its own reader."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = Path("expt/pretrain").glob(f"{name}_*")
    scalars = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {tag: [(event.step, event.value) for event in scalars.Scalars(tag)] for tag in ("train/loss", "train/lr")}


def test_killed_at_any_moment_and_resumed(folder, soak):
    """kill -9 while it starts, trains or writes (it writes a checkpoint after every step), then the same with --resume."""
    line = f"{PRETRAIN} --checkpoint_minutes 0"
    began = time.monotonic()
    assert execute(f"{line} --writing_params_path a.params --tb_expt_name a")[0] == 0
    duration = time.monotonic() - began
    expected, expected_curve = Path("a.params").read_bytes(), curve("a")
    moments, kills, survived = random.Random(0), 100 if soak else 2, 0
    for number in range(kills):
        name = f"k{number}"
        mine = f"{line} --writing_params_path {name}.params --tb_expt_name {name}"
        for _ in range(moments.choice((1, 1, 2))):
            with start(f"{mine} --resume", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
                time.sleep(duration * moments.uniform(0.3, 1.0))
                process.kill()
        code, errors = execute(f"{mine} --resume")
        assert code == 0, errors
        same = Path(f"{name}.params").read_bytes() == expected and curve(name) == expected_curve
        survived += same
        left = {path.name for path in folder.iterdir() if name in path.name}
        assert left <= {f"{name}.params{ending}" for ending in ("", ".json", ".checkpoint", ".checkpoint.previous")}
        for path in left:
            Path(path).unlink()
    print(f"\nkill -9: {kills} tried, {survived} survived, {kills - survived} lost")
    assert survived == kills


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_in_good_order_and_says_how_to_go_on(folder, number, code):
    line = PRETRAIN.replace("--max_epochs 2", "--max_epochs 500") + " --writing_params_path a.params"
    with start(f"{line} --checkpoint_minutes 0") as process:
        wait_for("a.params.checkpoint")
        process.send_signal(number)
        _, errors = process.communicate()
    assert process.returncode == code
    said = errors.rstrip().split("\n")[-1]
    assert "stopped after step " in said and "Traceback" not in errors
    command = said.split("go on with: ")[1]
    assert command == f"python {SOURCE / 'run.py'} {line} --checkpoint_minutes 0 --resume"
    assert not Path("a.params").exists() and Path("a.params.checkpoint").exists()


def test_a_second_signal_stops_at_once(folder):
    line = PRETRAIN.replace("--max_epochs 2", "--max_epochs 500 --batch_size 100000") + " --writing_params_path a.params"
    with start(line) as process:
        time.sleep(6)  # a step of all examples takes long
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode in (130, -signal.SIGINT) and "Traceback" not in errors


def limit_file_size(n_bytes):
    """As a disk that is full from there on; for a process about to start."""
    import resource

    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


def test_on_a_full_disk_training_goes_on_and_says_so_and_the_end_can_be_had_later(folder):
    """The parameters take 3.4 MB and a checkpoint 6.9 MB."""
    line = f"{PRETRAIN} --writing_params_path a.params"
    assert execute(line.replace("a.params", "b.params"))[0] == 0
    code, errors = execute(f"{line} --checkpoint_minutes 0", preexec_fn=limit_file_size(5_000_000))
    assert code == 2 and "Traceback" not in errors
    assert "warning: can't write a.params.checkpoint: File too large; training goes on" in errors
    assert not list(folder.glob("*a.params*"))
    assert execute(f"{line} --resume")[0] == 0  # from the start, there being nothing
    code, errors = execute(f"{line} --resume", preexec_fn=limit_file_size(5_000_000))
    assert code == 2 and Path("a.params").read_bytes() == Path("b.params").read_bytes()  # what was there stays


def test_without_anybody_who_reads_its_output_a_run_goes_on(folder):
    line = f"{PRETRAIN} --max_epochs 1 --writing_params_path "
    reader, writer = os.pipe()
    os.close(reader)
    assert start(f"{line} a.params", stdout=writer, stderr=writer).wait() == 0
    assert Path("a.params").exists()
    closed = f'exec "{sys.executable}" "{SOURCE / "run.py"}" {line} b.params >&- 2>&-'
    assert subprocess.run(["bash", "-c", closed], check=False).returncode == 0
    assert Path("b.params").exists()


def test_without_a_tensorboard_folder_a_run_goes_on(folder):
    Path("expt").write_text("no folder", encoding="utf-8")
    code, errors = execute(f"{PRETRAIN} --max_epochs 1 --writing_params_path a.params")
    assert code == 0 and Path("a.params").exists()
    assert errors.count("going on without TensorBoard") == 1 and "Traceback" not in errors


def test_a_loss_that_is_no_number_ends_the_run_and_its_last_checkpoint_stays(folder):
    code, errors = execute(f"{PRETRAIN} --pretrain_lr 1e30 --writing_params_path a.params --checkpoint_minutes 0")
    assert code == 2 and "Traceback" not in errors
    assert re.search(r"run.py: error: the loss is (nan|inf) at step [1-9]\d*: try a lower learning rate", errors)
    assert Path("a.params.checkpoint").exists() and not Path("a.params").exists()
