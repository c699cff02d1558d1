"""A run that is stopped anywhere and resumed is the same as one that is never stopped."""

import copy
import hashlib
import io
import os
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from console import UserError
from dataset import CharCorruptionDataset
from files import written_whole
from helpers import Evil, OneByOne
from model import GPT, GPTConfig
from resume import Checkpoints, farewell
from trainer import Trainer, TrainerConfig
from utils import set_seed

LINES = [f"Person {i} was born in town {i * i % 17}, and lives there." for i in range(20)]


class StopError(Exception):
    pass


class Curve(dict):
    """What a TensorBoard folder would show: the last value for each point, except the speed, which depends on the machine."""

    def add_scalar(self, tag, value, step):
        if tag != "train/examples_per_s":
            self[tag, step] = value

    def flush(self):
        pass


def make_trainer(curve, wrap=lambda corpus: corpus, test=None, model=(), **changes):
    set_seed(0)
    corpus = CharCorruptionDataset("\n".join(LINES), 48)
    model = GPT(GPTConfig(corpus.vocab_size, 48, n_layer=2, n_head=2, n_embd=16, **dict(model)))
    config = {"max_epochs": 5, "batch_size": 8, "learning_rate": 1e-3, "muon_lr": 0.02, "lr_decay": True, "device": "cpu"}
    config |= {"warmup_tokens": 500, "final_tokens": 4000, "writer": curve}
    return Trainer(model, wrap(corpus), test and wrap(corpus), TrainerConfig(**config | changes))


def stop_after(trainer, step):
    def after_step():
        if trainer.step == step:
            raise StopError

    with pytest.raises(StopError):
        trainer.train(after_step)


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({}, (2, 9, 14)),
        ({}, (1, 3, 7, 10, 11)),
        ({"muon_lr": None, "test": True}, (7, 10, 11)),
        ({"wrap": OneByOne, "test": True}, (3, 9)),
        ({"wrap": OneByOne, "num_workers": 2}, (7,)),
    ],
)
def test_stopped_and_resumed_at_any_step_is_as_good_as_never_stopped(tmp_path, steps, settings):
    """15 steps, 3 per epoch, the losses read every 10: the stops fall before, on and after each of these boundaries."""
    curve, expected = Curve(), Curve()
    uninterrupted = make_trainer(expected, **settings)
    uninterrupted.train()
    for step in (*steps, None):
        trainer = make_trainer(curve, **settings)
        checkpoints = Checkpoints(tmp_path / "x.params", {}, 0)
        if state := checkpoints.load():
            trainer.restore(state)
        if step is None:
            trainer.train()
        else:
            stop_after(trainer, step)
            checkpoints.save(trainer.state())
    assert curve == expected and {step for tag, step in curve if tag == "train/loss"} == set(range(15))
    assert (trainer.loss, trainer.step, trainer.tokens, trainer.best_test_loss) == (
        *(uninterrupted.loss, uninterrupted.step, uninterrupted.tokens, uninterrupted.best_test_loss),
    )
    for name, tensor in uninterrupted.model.state_dict().items():
        assert torch.equal(trainer.model.state_dict()[name], tensor), name


def saved(folder, *values, run=None):
    """Checkpoints, after a state has been saved for each value."""
    checkpoints = Checkpoints(folder / "x.params", run or {"seed": 0}, 5)
    for value in values:
        checkpoints.save({"step": value})
    return checkpoints


def test_what_is_given_its_name_is_on_the_disk_by_then(tmp_path, monkeypatch):
    """Or it might be empty after a power cut, when the one before is gone."""
    synced, fsync, replace = set(), os.fsync, Path.replace

    def facts(status):
        return status.st_ino, status.st_size

    def renamed(path, target):
        assert {facts(temporary.stat()) for temporary in path.parent.glob(".*")} <= synced
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", lambda number: synced.add(facts(os.fstat(number))) or fsync(number))
    monkeypatch.setattr(Path, "replace", renamed)
    saved(tmp_path, 1, 2, 3)
    with written_whole(tmp_path / "x") as temporary:
        temporary.write_text("whole", encoding="utf-8")
    assert len(synced) >= 4


def test_the_newest_two_are_kept(tmp_path):
    assert saved(tmp_path, 1, 2, 3).load() == {"step": 3}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.params.checkpoint", "x.params.checkpoint.previous"]
    (tmp_path / "x.params.checkpoint").unlink()
    assert saved(tmp_path).load() == {"step": 2}


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b[:-5] + bytes([b[-5] ^ 1]) + b[-4:], lambda b: b"", lambda b: b"x" * 99]
)
def test_of_a_damaged_one_the_one_before_is_used_and_stays(tmp_path, damage, capsys):
    checkpoints = saved(tmp_path, 1, 2)
    checkpoints.path.write_bytes(damage(checkpoints.path.read_bytes()))
    assert checkpoints.load() == {"step": 1}
    assert f"warning: {checkpoints.path} is damaged" in capsys.readouterr().err
    checkpoints.save({"step": 3})  # the damaged one is replaced, the good one is not
    checkpoints.path.write_bytes(b"")
    assert checkpoints.load() == {"step": 1}
    checkpoints.previous.write_bytes(b"")
    assert checkpoints.load() is None


def test_one_that_cant_be_written_leaves_the_one_before_and_the_run_its_way(tmp_path, capsys):
    checkpoints = saved(tmp_path, 1)
    checkpoints.previous.mkdir()  # where a file should go
    assert checkpoints.save({"step": 2}) is False and checkpoints.saved_step == 1
    errors = capsys.readouterr().err
    assert f"warning: can't write {checkpoints.path}: " in errors and "; the previous checkpoint, if any, is kept" in errors
    assert checkpoints.load() == {"step": 1}
    checkpoints.previous.rmdir()
    assert checkpoints.save({"step": 3}) is True and checkpoints.load() == {"step": 3}


@pytest.mark.parametrize(
    ("content", "compression", "why"),
    [
        ({"run": 1}, zipfile.ZIP_STORED, "'int' object is not iterable"),
        ({"run": {}, "state": {"step": 1, "x": Evil()}}, zipfile.ZIP_STORED, "it names \\w+ mkdir"),
        ({"run": {}, "state": {"step": 1, "x": torch.zeros(10**5)}}, zipfile.ZIP_DEFLATED, "it was packed, to fill the memory"),
    ],
)
def test_one_that_is_whole_but_cant_be_read_is_not_written_over(tmp_path, monkeypatch, content, compression, why):
    """Such as one from another version of PyTorch, or a forged one."""
    monkeypatch.chdir(tmp_path)
    checkpoints = saved(tmp_path, 1, 2)
    saved_by_torch, packed = io.BytesIO(), io.BytesIO()
    torch.save(content, saved_by_torch)
    with zipfile.ZipFile(saved_by_torch) as stored, zipfile.ZipFile(packed, "w", compression) as archive:
        for name in stored.namelist():
            archive.writestr(name, stored.read(name))
    checkpoints.path.write_bytes(hashlib.sha256(packed.getvalue()).digest() + packed.getvalue())
    there = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match=rf"x.params.checkpoint is whole, but can't be read here \(.*{why}"):
        checkpoints.load()
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == there


def test_what_a_killed_run_left_half_written_is_removed(tmp_path):
    for name in (".x.params.77.tmp", ".x.params.json.77.tmp", ".x.params.checkpoint.77.tmp", ".x.params.mine"):
        (tmp_path / name).touch()
    saved(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".x.params.mine"]


def test_another_run_is_refused_by_name(tmp_path):
    saved(tmp_path, 1, run={"seed": 0, "the corpus's hash": "ab"})
    with pytest.raises(
        UserError, match=r"is of a run with seed 0, not 1: give the same, or leave --resume out, or delete it and x\.params"
    ):
        saved(tmp_path, run={"seed": 1, "the corpus's hash": "ab"}).load()
    with pytest.raises(UserError, match="a run with the corpus's hash ab, not cd"):
        saved(tmp_path, run={"seed": 0, "the corpus's hash": "cd"}).load()
    saved(tmp_path, 1, run={"seed": 0, "warm": 0.5, "cold": 0.0})  # from a version that had more settings
    with pytest.raises(UserError, match=r"a run with warm 0\.5, not None"):
        saved(tmp_path, run={"seed": 0}).load()
    assert saved(tmp_path, run={"seed": 0, "warm": 0.5}).load() == {"step": 1}
    saved(tmp_path, 1, run={"seed": 0})  # from one that had fewer
    with pytest.raises(UserError, match=r"a run with warm None, not 0\.5"):
        saved(tmp_path, run={"seed": 0, "warm": 0.5}).load()


def test_the_advice_against_another_run_s_checkpoint_does_not_cost_this_one_s(tmp_path):
    """A long run was stopped, and then the same command was typed with another seed."""
    saved(tmp_path, 9000)
    other = saved(tmp_path, 12, run={"seed": 1})
    assert f"stopped after step 12; going on replaces {other.previous}, which is an earlier run's; " in farewell(12, True, other)
    with pytest.raises(UserError, match=r"seed 1, not 0: .*, move that file away, then rename x.params.checkpoint.previous"):
        saved(tmp_path).load()
    other.previous.replace(other.path)
    assert saved(tmp_path).load() == {"step": 9000}
    assert "earlier" not in farewell(9002, True, saved(tmp_path, 9001, 9002))
    other.path.write_bytes(b"damaged")
    assert "earlier" not in farewell(1, True, saved(tmp_path, 1))


def test_what_resumes_comes_before_the_end_of_the_flags(tmp_path, monkeypatch):
    for typed, resumes in (("-- -wiki.txt", "--resume -- -wiki.txt"), ("--resume -- -wiki.txt",) * 2, ("wiki.txt", "wiki.txt --resume")):
        monkeypatch.setattr(sys, "argv", ["src/run.py", "pretrain", "vanilla", *typed.split()])
        assert farewell(1, True, saved(tmp_path, 1)).endswith(f" src/run.py pretrain vanilla {resumes}")


@pytest.mark.skipif(sys.platform == "win32", reason="creating links needs a privilege on Windows")
def test_a_link_for_a_checkpoint_stays_one_and_the_newest_two_lie_where_it_points(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "x.params.checkpoint").symlink_to(tmp_path / "disk" / "x")
    assert saved(tmp_path, 1, 2, 3).load() == {"step": 3}
    assert [path.name for path in tmp_path.iterdir() if path.name != "disk"] == ["x.params.checkpoint"]
    assert sorted(path.name for path in (tmp_path / "disk").iterdir()) == ["x", "x.previous"]
    (tmp_path / "disk" / "x").write_bytes(b"damaged")
    assert saved(tmp_path).load() == {"step": 2}


def test_a_checkpoint_is_due_after_its_minutes(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    checkpoints = Checkpoints(tmp_path / "x.params", {}, 0.5)
    now[0] += 29
    assert not checkpoints.due()
    now[0] += 1
    assert checkpoints.due()
    checkpoints.save({"step": 1})
    assert not checkpoints.due()


def test_a_loss_that_is_no_number_ends_the_run_and_is_not_kept():
    trainer = make_trainer(None, muon_lr=None, learning_rate=1e30, grad_norm_clip=1e30)
    with pytest.raises(UserError, match=r"the loss is nan in step \d: try a lower learning rate"):
        trainer.train()
    trainer = make_trainer(None)
    trainer.train(lambda: None)
    with torch.no_grad():
        trainer.model.head.weight[3, 2] = torch.nan
    with pytest.raises(UserError, match="a parameter is no longer finite after step 15"):
        trainer.state()


def test_a_state_from_a_gpu_goes_on_on_a_cpu():
    """On a GPU, rates are tensors; in earlier versions, AdamW was told for good that it may be recorded."""
    curve, expected = Curve(), Curve()
    make_trainer(expected).train()
    trainer = make_trainer(curve)
    stop_after(trainer, 7)
    state = copy.deepcopy(trainer.state())
    for group in (group for optimizer in state["optimizers"] for group in optimizer["param_groups"]):
        group["lr"] = torch.tensor(group["lr"])
        group.update({"capturable": True} if "capturable" in group else {})
    resumed = make_trainer(curve)
    resumed.restore(state)
    resumed.train()
    assert curve == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize(("first", "then", "tolerance"), [("cuda", "cuda", 1e-3), ("cpu", "cuda", 0.02), ("cuda", "cpu", 0.02)])
def test_on_a_gpu_and_from_one_a_run_goes_on(tmp_path, first, then, tolerance):
    """GPU kernels may add in a different order each time, and multiply in bfloat16."""
    without_dropout = {"embd_pdrop": 0.0, "resid_pdrop": 0.0, "attn_pdrop": 0.0} if first != then else {}
    curve, expected = Curve(), Curve()
    make_trainer(expected, device=first, model=without_dropout).train()
    trainer = make_trainer(curve, device=first, model=without_dropout)
    stop_after(trainer, 7)
    checkpoints = Checkpoints(tmp_path / "x.params", {}, 0)
    checkpoints.save(trainer.state())
    resumed = make_trainer(curve, device=then, model=without_dropout)
    resumed.restore(checkpoints.load())
    resumed.train()
    assert curve.keys() == expected.keys() and list(curve.values()) == pytest.approx(list(expected.values()), rel=tolerance)
