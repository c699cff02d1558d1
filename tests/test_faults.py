"""Runs that are killed, stopped, or denied their files, most of them in separate processes. `make soak` tries many more."""

import ctypes
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

import run
from console import UserError, run_reporting_errors
from helpers import PRETRAIN, RUN, curve, execute, run_here, start, wait_for
from resume import Checkpoints, noting_signals

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs Unix signals and resource limits")

FINETUNE = PRETRAIN.replace("pretrain vanilla", "finetune perceiver") + " --batch_size 8 --dropout 0.1"
KILLED = {"pretraining": PRETRAIN, "finetuning with dropout": FINETUNE}
LONG = PRETRAIN.replace("--max_epochs 2", "--max_epochs 500") + " --writing_params_path a.params"


# ---------------------------------------------------------------- killed and stopped


@pytest.mark.parametrize(("kind", "line"), KILLED.items())
def test_killed_at_any_moment_and_resumed(folder, soak, kind, line):
    """kill -9 while it trains or writes (a checkpoint after every step), or starts, then the same command again, with --resume."""
    line += " --checkpoint_minutes 0 --eval_corpus_path birth_dev.tsv"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with start(f"{line} --writing_params_path a.params --tb_expt_name a", **quiet) as process:
        wait_for("a.params.checkpoint")
        began = time.monotonic()
        assert process.wait() == 0
    duration = time.monotonic() - began  # from the first checkpoint on
    expected, expected_curve = Path("a.params").read_bytes(), curve("a")
    assert {"train/loss", "train/lr", "train/grad_norm", "accuracy/birth_dev"} <= expected_curve.keys()
    n_steps = len(expected_curve["train/loss"])
    moments, wanted, tried, survived, amid, writing = random.Random(0), 50 if soak else 1, 0, 0, 0, 0
    for attempt in range(2 * wanted + 5):
        if tried >= wanted and amid:
            break
        name = f"run{attempt}"
        mine = f"{line} --writing_params_path {name}.params --tb_expt_name {name} --resume"
        with start(mine, **quiet) as process:
            if attempt % 4 < 3:  # most are killed while they train
                wait_for(f"{name}.params.checkpoint")
            time.sleep(duration * moments.uniform(0, 1 if soak else 0.5))
            process.kill()
        killed = process.returncode == -signal.SIGKILL  # otherwise it had already finished
        writing += bool(list(folder.glob(f".{name}.params*.tmp")))
        code, out, errors = execute(mine)
        step = int(found[1]) if (found := re.search(r"Resuming after step (\d+)", out)) else 0
        left = {path.name for path in folder.iterdir() if f"{name}.params" in path.name}
        same = code == 0 and Path(f"{name}.params").read_bytes() == expected and curve(name) == expected_curve
        bounded = left == {f"{name}.params{ending}" for ending in ("", ".json", ".checkpoint", ".checkpoint.previous")}
        tried, survived, amid = tried + killed, survived + (killed and same and bounded), amid + (killed and 0 < step < n_steps)
        assert (same and bounded) or soak, (errors, left)
        for path in left:
            Path(path).unlink()
    print(f"\nkill -9, {kind}: {tried} tried ({amid} amid its steps, {writing} amid writing), {survived} survived, {tried - survived} lost")
    assert survived == tried and amid


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_in_good_order_and_says_how_to_go_on(folder, number, code):
    with start(f"{LONG} --checkpoint_minutes 0") as process:
        wait_for("a.params.checkpoint")
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    said = errors.rstrip().split("\n")[-1]
    assert "stopped after step " in said and "Traceback" not in errors
    python, *line = shlex.split(said.split("resume with: ")[1])
    assert line == [str(RUN), *f"{LONG} --checkpoint_minutes 0 --resume".split()]
    prefix = subprocess.run([python, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True).stdout
    assert prefix == f"{sys.prefix}\n"  # this environment
    assert not Path("a.params").exists() and Path("a.params.checkpoint").exists()
    code, _, errors = run_here(f"{LONG} --resume --seed 1")
    assert code == 2 and errors.startswith("run.py: error: a.params.checkpoint is of a run with seed 0, not 1: give the same")


def test_ctrl_c_while_pytorch_is_imported_ends_in_one_line(folder):
    waits = "import time; open('begun', 'w').close(); time.sleep(60)"
    Path("torch.py").write_text(waits, encoding="utf-8")  # shadows PyTorch
    with start(LONG, env=os.environ | {"PYTHONPATH": str(folder)}) as process:
        wait_for("begun")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and errors == "run.py: interrupted\n"


def wait_for_bar(process):
    """Wait until there is a progress bar: from then on, the run catches signals."""
    seen = ""
    while "ex/s" not in seen:
        seen += process.stderr.read(1)


def slow_down(folder, times):
    """Make the text so many times as long, so that a step on all of it takes longer."""
    text = (folder / "wiki.txt").read_text(encoding="utf-8")
    (folder / "wiki.txt").write_text(text * times, encoding="utf-8")


def test_a_second_ctrl_c_stops_at_once_and_what_was_saved_stays_whole(folder):
    slow_down(folder, 4)
    line = f"{LONG} --batch_size 100000 --checkpoint_minutes 0"
    with start(line) as process:
        wait_for("a.params.checkpoint")
        process.send_signal(signal.SIGINT)
        assert any("stopping after this step" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT) and "Traceback" not in errors and "stopped after step" not in errors
    with start(f"{line} --resume") as process:
        assert any(re.fullmatch(r"Resuming after step \d+\.\n", said) for said in process.stdout)


def test_a_job_that_ignores_ctrl_c_is_stopped_by_sigterm_alone():
    """As shells start what runs in the background."""
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with noting_signals() as received:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGINT, former)
    assert received == [signal.SIGTERM]


def test_of_several_processes_none_stops_at_once(monkeypatch):
    """torchrun passes on what the terminal has already sent to each."""
    monkeypatch.setattr("processes.count", lambda: 2)
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with suppress(KeyboardInterrupt), noting_signals() as received:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, former)
    assert received == [signal.SIGINT] * 2


def test_a_second_sigterm_does_not_keep_it_from_saving(folder):
    """As happens when it is sent to a whole process group, whose members pass it on to each other."""
    slow_down(folder, 2)
    with start(f"{LONG} --batch_size 100000") as process:
        wait_for_bar(process)
        for _ in range(3):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.002)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 143 and re.search(r"stopped after step \d+; resume with: ", errors)
    assert Path("a.params.checkpoint").exists()


def test_a_signal_during_the_last_checkpoint_is_not_lost_nor_is_the_run(folder, monkeypatch, capsys):
    """Who stops a script of several runs means the ones to come, too."""
    save = Checkpoints.save
    monkeypatch.setattr(Checkpoints, "save", lambda *this: signal.raise_signal(signal.SIGTERM) or save(*this))
    monkeypatch.setattr(sys, "argv", ["run.py", *f"{PRETRAIN} --writing_params_path a.params".split()])
    assert run_reporting_errors(run.main) == 143
    assert "stopped after the run's last step: its parameters are written" in capsys.readouterr().err
    assert Path("a.params").exists() and Path("a.params.json").exists() and Path("a.params.checkpoint").exists()


def test_a_loss_that_is_no_number_ends_the_run_and_its_last_checkpoint_stays(folder):
    line = f"{PRETRAIN} --pretrain_lr 1e30 --writing_params_path a.params --checkpoint_minutes 0"
    code, _, errors = run_here(line)
    assert code == 2 and "Traceback" not in errors
    step = int(re.search(r"run.py: error: the loss is (?:nan|inf) in step ([1-9]\d*): try a lower learning rate", errors)[1])
    assert Path("a.params.checkpoint").exists() and not Path("a.params").exists()
    code, out, again = run_here(f"{line} --resume")  # from the last step before
    assert f"Resuming after step {step - 1}." in out and f"in step {step}: " in again and "damaged" not in again


def test_a_damaged_checkpoint_is_named_and_the_one_before_gives_the_same_result(folder):
    line = f"{PRETRAIN} --checkpoint_minutes 0 --writing_params_path a.params"
    assert run_here(line)[0] == 0
    expected, checkpoint = Path("a.params").read_bytes(), Path("a.params.checkpoint")
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint.write_bytes(content)
    code, out, errors = run_here(f"{line} --resume")
    assert code == 0 and "warning: a.params.checkpoint is damaged, and not used" in errors
    assert "Resuming after step 13." in out and Path("a.params").read_bytes() == expected
    assert [step for step, _ in curve("run")["train/loss"]] == list(range(14))  # the last one had been logged, and was done again


# ---------------------------------------------------------------- denied their files


def limit_file_size(n_bytes):
    """As if the disk were full beyond this size; for a process about to start."""
    import resource

    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


def test_on_a_full_disk_training_goes_on_and_says_so(folder):
    """The parameters take 3.4 MB and a checkpoint 6.9 MB."""
    line = f"{PRETRAIN} --max_epochs 1 --batch_size 32 --writing_params_path a.params"
    assert execute(line.replace("a.params", "b.params"))[0] == 0
    expected = Path("b.params").read_bytes()
    code, _, errors = execute(f"{line} --checkpoint_minutes 0", preexec_fn=limit_file_size(5_000_000))
    assert code == 0 and "warning: can't write a.params.checkpoint: File too large; the previous checkpoint, if any, is kept" in errors
    assert Path("a.params").read_bytes() == expected and not list(folder.glob("*a.params.checkpoint*"))
    code, _, errors = execute(line, preexec_fn=limit_file_size(1_000_000))
    assert code == 2 and "run.py: error: can't write a.params: File too large" in errors and "Traceback" not in errors
    assert Path("a.params").read_bytes() == expected  # what was there stays


def test_parameters_that_could_not_be_written_at_the_end_are_written_later(folder, monkeypatch):
    def fail(*_):
        raise UserError("can't write a.params: No space left on device")

    line = f"{PRETRAIN} --writing_params_path a.params"
    with monkeypatch.context() as patches:
        patches.setattr("stages.save_params", fail)
        code, _, errors = run_here(line)
    assert code == 2 and "No space left on device: once it can be, the same command with --resume writes it" in errors
    code, out, _ = run_here(f"{line} --resume")
    assert code == 0 and "Resuming after step 14." in out and Path("a.params").exists()


def test_what_stands_in_a_checkpoints_place_does_not_cost_the_run(folder):
    Path("a.params.checkpoint").mkdir()
    code, _, errors = run_here(f"{PRETRAIN} --writing_params_path a.params")
    assert code == 0 and "warning: can't read a.params.checkpoint: Is a directory" in errors
    assert {path.name for path in folder.glob("*a.params*")} == {"a.params", "a.params.json", "a.params.checkpoint"}


def test_a_run_that_has_ended_is_not_written_anew_when_it_is_resumed(folder):
    line = f"{PRETRAIN} --checkpoint_minutes 0 --writing_params_path a.params"
    assert run_here(line)[0] == 0
    kept = [Path(f"a.params{ending}") for ending in (".checkpoint", ".checkpoint.previous")] + list(Path("expt").glob("*/*/a/*"))
    assert len(kept) == 3  # the last is the run's row in TensorBoard's table of runs
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in kept]
    code, out, _ = run_here(f"{line} --resume")
    assert code == 0 and "Parameters written to a.params" in out
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in kept] == before
    assert len(list(Path("expt").glob("*/*/a/*"))) == 1


def without_roots_rights():
    """For a process about to start: files' permissions apply to what it runs, even as root (Linux)."""
    if os.geteuid() == 0:
        drop_from_bounding_set, write_everywhere, read_everywhere = 24, 1, 2  # linux/prctl.h, linux/capability.h
        for capability in (write_everywhere, read_everywhere):
            assert ctypes.CDLL(None).prctl(drop_from_bounding_set, capability, 0, 0, 0) == 0


def test_a_folder_that_is_read_only_is_named_before_the_work(folder):
    folder.chmod(0o555)
    code, _, errors = execute(f"{PRETRAIN} --writing_params_path a.params", preexec_fn=without_roots_rights)
    folder.chmod(0o755)
    assert code == 2 and "run.py: error: can't write a.params: its folder must exist and be writable" in errors


def test_without_anybody_who_reads_its_output_a_run_goes_on(folder):
    line = f"{PRETRAIN} --max_epochs 1 --batch_size 128 --writing_params_path "
    reader, writer = os.pipe()
    os.close(reader)
    with start(f"{line} a.params", stdout=writer, stderr=writer) as process:
        assert process.wait() == 0
    assert Path("a.params").exists()
    closed = f'exec "{sys.executable}" "{RUN}" {line} b.params >&- 2>&-'
    assert subprocess.run(["bash", "-c", closed], check=False).returncode == 0
    assert Path("b.params").exists()


def test_without_a_tensorboard_folder_a_run_goes_on(folder):
    Path("expt").write_text("no folder", encoding="utf-8")
    code, _, errors = run_here(f"{PRETRAIN} --max_epochs 1 --writing_params_path a.params")
    assert code == 0 and Path("a.params").exists()
    assert errors.count("going on without TensorBoard") == 1 and "Traceback" not in errors


def test_where_tensorboards_file_can_no_longer_be_written_a_run_goes_on(folder, capfd):
    from curves import Curves

    with Curves(folder / "expt") as curves:
        curves.writer.file_writer.event_writer._async_writer.close()  # as after a failed write
        for step in range(30):
            curves.add_scalar("train/loss", 1.0, step)
    assert capfd.readouterr().err.count("going on without TensorBoard") == 1
