"""Several processes under torchrun compute what one does."""

import hashlib
import json
import os
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from threading import Thread
from types import ModuleType

import pytest
import torch
from torch import distributed as dist

import processes
from acceleration import pick_device
from console import UserError
from dataset import CharCorruptionDataset
from helpers import PRETRAIN, RUN, curve, execute, start, wait_for
from model import GPT, GPTConfig
from recipes import RECIPES

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs torchrun and Unix signals")


LONGER = f"{PRETRAIN} --max_epochs 8 --checkpoint_minutes 0"
EVALUATE = "evaluate vanilla wiki.txt --recipe quick --device cpu --reading_params_path one.params --eval_corpus_path birth_dev.tsv"


def assert_same_run(name, expected):
    """The same steps with the same rates, and losses and parameters that differ only by rounding."""
    mine, theirs = curve(name), curve(expected)
    assert mine["train/lr"] == theirs["train/lr"]
    assert [step for step, _ in mine["train/loss"]] == [step for step, _ in theirs["train/loss"]]
    losses = [[value for _, value in c["train/loss"]] for c in (mine, theirs)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert losses[0][0] == pytest.approx(losses[1][0], rel=1e-6)
    assert losses[0][:3] == pytest.approx(losses[1][:3], rel=1e-5)  # before rounding errors have grown
    states = [torch.load(f"{n}.params", weights_only=True) for n in (name, expected)]
    for key, tensor in states[0].items():
        assert (tensor - states[1][key]).abs().mean() <= 1e-3, key


def run_after(preamble, folder):
    """A program that runs the preamble, and then run.py."""
    program = folder / "prepared.py"
    program.write_text(
        f"import runpy, sys\nsys.path.insert(0, {str(RUN.parent)!r})\n{preamble}\nrunpy.run_path({str(RUN)!r}, run_name='__main__')\n",
        encoding="utf-8",
    )
    return program


def test_a_pytorch_without_distributed_is_one_process(monkeypatch):
    bare = ModuleType("torch.distributed")
    bare.is_available = lambda: False
    monkeypatch.setattr(torch, "distributed", bare)
    monkeypatch.setitem(sys.modules, "torch.distributed", bare)
    alone = runpy.run_path(processes.__file__)
    with alone["joined"]("auto"):
        assert (alone["count"](), alone["rank"](), alone["gathered"](3)) == (1, 0, [3])


SMALL = """
from dataclasses import replace
import recipes
recipes.RECIPES["quick"] = replace(recipes.RECIPES["quick"], n_layer=2, n_embd=64)
"""


@pytest.fixture(scope="module")
def precise(tmp_path_factory):
    """run.py with a small model, and Muon in float32: in bfloat16, it would amplify the last bits, in which sums over processes differ."""
    return run_after(SMALL + "import muon; muon.has_bf16 = lambda device: False", tmp_path_factory.mktemp("precise"))


COUNTING = """
import os
import questions

def counted(model, prompts, *how, answer=questions.answer, **more):
    with open("asked{RANK}of{WORLD_SIZE}".format(**os.environ), "a") as asked:
        asked.write("x" * len(prompts))
    return answer(model, prompts, *how, **more)

questions.answer = counted
"""


@pytest.fixture(scope="module")
def counting(tmp_path_factory):
    """run.py, where each process notes how many questions it answers."""
    return run_after(SMALL + COUNTING, tmp_path_factory.mktemp("counting"))


@pytest.fixture(scope="module")
def alone(world, tmp_path_factory, precise):
    """A folder with the results of a single-process run."""
    folder = tmp_path_factory.mktemp("alone")
    shutil.copytree(world, folder, dirs_exist_ok=True)
    code, _, errors = execute(f"{PRETRAIN} --writing_params_path one.params --tb_expt_name one", program=precise, cwd=folder)
    assert code == 0, errors
    assert execute(f"{EVALUATE} --outputs_path one.said", program=precise, cwd=folder)[0] == 0
    return folder


@pytest.fixture(scope="module")
def whole(alone, precise):
    """What a longer one is like."""
    assert execute(f"{LONGER} --writing_params_path whole.params --tb_expt_name whole", program=precise, cwd=alone)[0] == 0
    return "whole"


@pytest.fixture
def beside(alone, monkeypatch):
    monkeypatch.chdir(alone)


@pytest.mark.parametrize("n_processes", [2, 3])
def test_any_number_of_processes_trains_and_answers_as_one(beside, precise, counting, n_processes):
    """Batches of 16, which three can't share equally; during training, all processes together answer the watched questions."""
    torchrun, name = f"--nproc_per_node {n_processes}", f"by{n_processes}"
    watched = f"{PRETRAIN} --eval_corpus_path birth_dev.tsv --writing_params_path {name}.params --tb_expt_name {name}"
    code, out, errors = execute(watched, torchrun, precise)
    assert code == 0, errors
    assert out.count("number of parameters") == 1 and out.count("Parameters written") == 1  # only the first one prints
    assert len(list(Path("expt/pretrain").glob(f"{name}_*/events*"))) == 1
    assert_same_run(name, "one")

    assert execute(f"{EVALUATE} --outputs_path said", torchrun, counting)[0] == 0
    said = Path("said").read_bytes()
    assert said == Path("one.said").read_bytes() and said.count(b"\n") == Path("birth_dev.tsv").read_bytes().count(b"\n")
    shares = [len(path.read_bytes()) for path in Path().glob(f"asked*of{n_processes}")]
    assert len(shares) == n_processes and sum(shares) == said.count(b"\n") and max(shares) - min(shares) <= 1


PROGRAM = """
import os
from pathlib import Path
import torch
import processes
from dataset import CharCorruptionDataset
from model import GPT, GPTConfig
from trainer import Trainer, TrainerConfig

def threads():
    names = [(task / "comm").read_text() for task in Path("/proc/self/task").glob("*")]
    return [name for name in names if "gloo" in name]

with processes.joined("cpu"):
    found = []
    for n in (40, 1):
        torch.manual_seed(processes.rank())  # so that the parameters have to come from the first one
        corpus = CharCorruptionDataset("\\n".join(f"Person {i} was born in town {i * i % 17}." for i in range(n)), 48)
        model = GPT(GPTConfig(corpus.vocab_size, 48, n_layer=2, n_head=2, n_embd=16, embd_pdrop=0, resid_pdrop=0, attn_pdrop=0)).double()
        trainer = Trainer(model, corpus, None, TrainerConfig(batch_size=99, grad_norm_clip=1e9, learning_rate=1e-12, device="cpu"))
        loss, _ = trainer.train_step(trainer.batches(corpus, 1)[0], 1e-12)
        found.append([loss, *(p.grad for p in model.parameters())])
    before, processes_met = threads(), processes.count()
torch.save((found, before, threads()), f"{processes_met}.{os.environ.get('RANK', 0)}")
"""


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    """A folder with the gradients of steps on 40 examples and on one, of one process and of two; and the names of gloo's threads."""
    folder = tmp_path_factory.mktemp("computed")
    (folder / "program.py").write_text(PROGRAM, encoding="utf-8")
    paths = os.environ | {"PYTHONPATH": str(RUN.parent)}
    for launcher in ([], ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]):
        done = subprocess.run([sys.executable, *launcher, "program.py"], cwd=folder, env=paths, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("which", [0, 1], ids=["40 examples", "an example"])
def test_the_gradients_are_summed_over_the_processes(computed, which):
    """Even with a single example, which leaves the second process nothing to do."""
    one, two, other = (torch.load(computed / name, weights_only=True)[0][which] for name in ("1.0", "2.0", "2.1"))
    assert any(gradient.abs().max() > 1e-3 for gradient in one[1:])
    for expected, first, second in zip(one, two, other, strict=True):
        torch.testing.assert_close(first, expected)
        torch.testing.assert_close(second, expected)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc thread list")
def test_no_thread_outlives_the_group(computed):
    """One that did would now and then abort the process at exit."""
    for rank in (0, 1):
        _, before, after = torch.load(computed / f"2.{rank}", weights_only=True)
        assert before and not after


def test_a_run_may_go_on_in_another_number_of_processes(beside, precise, whole):
    line = f"{LONGER} --writing_params_path other.params --tb_expt_name other"
    with start(line, "--nproc_per_node 2", precise) as process:
        wait_for("other.params.checkpoint.previous")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
    assert process.returncode != 0 and not Path("other.params").exists()
    code, out, errors = execute(f"{line} --resume", "--nproc_per_node 4", precise)
    assert code == 0, errors
    assert re.search(r"^Resuming after step \d+\.$", out, flags=re.MULTILINE)
    assert_same_run("other", whole)


def test_a_killed_worker_ends_the_job(beside, precise):
    with start(f"{LONGER} --writing_params_path killed.params --tb_expt_name killed", "--nproc_per_node 2", precise) as process:
        wait_for("killed.params.checkpoint.previous")
        workers = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True).stdout.split()
        os.kill(int(workers[-1]), signal.SIGKILL)
        process.communicate(timeout=300)
    assert process.returncode != 0
    assert not Path("killed.params").exists() and Path("killed.params.checkpoint").exists()


def test_two_machines_train_as_one_and_begin_again_after_a_death_on_one(beside, precise, whole, tmp_path):
    """Two torchruns, each in its own folder; the one started first, whose process ID is lower, counts as the first machine."""
    line = f"{LONGER} --writing_params_path machines.params --tb_expt_name machines --resume"
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    torchrun = f"--nnodes 2 --nproc_per_node 1 --max_restarts 3 --rdzv_backend c10d --rdzv_endpoint localhost:{port}"
    data = ("wiki.txt", "birth_places_train.tsv")
    folders = [Path.cwd(), tmp_path]
    for name in data:
        Path(tmp_path, name).write_bytes(Path(name).read_bytes())
    with ExitStack() as stack:
        machines = [stack.enter_context(start(line, torchrun, precise, cwd=folder)) for folder in folders]
        wait_for("machines.params.checkpoint.previous")
        workers = subprocess.run(["pgrep", "-P", str(machines[1].pid)], capture_output=True, text=True, check=True).stdout.split()
        os.kill(int(workers[-1]), signal.SIGKILL)
        said = [machine.communicate(timeout=300) for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], said
    assert re.search(r"^Resuming after step \d+\.$", said[0][0], flags=re.MULTILINE)
    assert said[1][0] == "" and {path.name for path in tmp_path.iterdir()} == set(data)  # only the first prints and writes
    assert_same_run("machines", whole)


def meet(store, size, late):
    """The names that members meeting at a store arrive at, the last of them being `late` seconds late."""
    names = {}

    def member(number):
        time.sleep(late if number == size - 1 else 0)
        names[number] = processes.agree_on_name(store, number, size)

    members = [Thread(target=member, args=(number,), daemon=True) for number in range(size)]
    for thread in members:
        thread.start()
    for thread in members:
        thread.join(timeout=10)
    assert len(names) == size, "not all of them arrived at a name"
    return names.values()


@pytest.mark.parametrize("dead", [(), (2,), (0, 2), (0, 1, 2)])
def test_those_who_meet_agree_on_a_name_that_no_meeting_before_had(dead):
    """Whichever processes left tokens before they died, and whether or not they had agreed to the roll."""
    store, names = dist.HashStore(), set()
    for late in (0.0, 0.3, 0.0):
        for number in dead:
            store.set(f"token {number}", f"of the dead {number}")
            if names:
                store.set(f"agreed {number}", store.get("roll"))
        (name,) = set(meet(store, 3, late))
        assert name not in names
        names.add(name)


def test_who_waits_for_the_dead_does_not_wait_for_ever():
    store = dist.HashStore()
    store.set_timeout(timedelta(seconds=0.5))
    store.set("token 1", "of the dead")
    store.set("agreed 1", "")
    with pytest.raises(UserError, match="not all 2 processes came within"):
        processes.agree_on_name(store, 0, 2)


@pytest.mark.parametrize(("n_gpus", "outcome"), [(1, "1 GPUs are too few"), (2, "took 1")])
def test_each_process_takes_a_gpu_of_its_own_or_none_begins(monkeypatch, n_gpus, outcome):
    def take(number):
        raise UserError(f"took {number}")

    for name, value in (("TORCHELASTIC_RUN_ID", "x"), ("LOCAL_RANK", "1"), ("LOCAL_WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n_gpus)
    monkeypatch.setattr(torch.cuda, "set_device", take)
    with pytest.raises(UserError, match=outcome), processes.joined("auto"):
        pass
    monkeypatch.setattr(torch, "zeros", lambda *_, **__: torch.tensor(0.0))
    assert pick_device("cuda") == pick_device("auto") == torch.device("cuda:1")


def test_a_mistake_is_said_once(beside):
    code, _, errors = execute("pretrain vanilla nowhere.txt --writing_params_path p", "--nproc_per_node 2")
    assert code != 0 and errors.count("run.py: error: ") == errors.count("can't read nowhere.txt") == 1


def test_a_mistake_is_said_by_a_first_process_that_is_slower_than_the_others(beside, tmp_path):
    program = run_after('import os, time; time.sleep(3 * (os.environ["RANK"] == "0"))', tmp_path)
    code, _, errors = execute("pretrain vanilla wiki.txt", "--nproc_per_node 2", program)
    assert code != 0 and errors.count("error: pretrain needs --writing_params_path") == 1


ONE_AFTER_THE_OTHER = """
import io, json, os, sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
import console, run, processes, stages  # with PyTorch, so that nothing it says is taken for the project's

console.PATIENCE = 0  # the first speaks before the others end: here, none of them does
here, second = Path.cwd(), os.environ["RANK"] == "1"
for number, (prepare, line) in enumerate(json.loads(sys.argv[1])):
    os.chdir(here)
    sys.argv = ["run.py", *line.split()]
    exec(prepare)
    said, code = io.StringIO(), 0
    with redirect_stderr(said), redirect_stdout(io.StringIO()):
        try:
            code = console.run_reporting_errors(run.main)
        except SystemExit as end:
            code = end.code
    (here / f"said{number}.{int(second)}").write_text(json.dumps([code, said.getvalue()]), encoding="utf-8")
"""
ELSEWHERE = "os.chdir({!r} if second else '.')"  # as on two machines
DIFFER = "process 1: the flags, devices or files differ from the first process's"
MISTAKES = {  # what comes before the command, the command, and what is said
    "a single GPU for all": (
        "",
        "pretrain vanilla wiki.txt --writing_params_path p --device cuda:1",
        "several processes take a GPU each, or CPU cores",
    ),
    # the process that is first now may not be the one that was first when the checkpoint was written
    "a checkpoint that another machine has": (
        ELSEWHERE.format("other machine"),
        f"{PRETRAIN} --writing_params_path far --resume",
        "far.checkpoint is with process 1, not with the first: copy it",
    ),
    "a checkpoint that can't be read": (
        "",
        f"{PRETRAIN} --writing_params_path odd --resume",
        "odd.checkpoint is whole, but can't be read here",
    ),
    "an older file by the same name": (
        ELSEWHERE.format("other machine"),
        f"{EVALUATE} --reading_params_path m.params --outputs_path p",
        DIFFER,
    ),
    "a flag that was forgotten on one machine": ("sys.argv += ['--resume'] * second", f"{PRETRAIN} --writing_params_path p", DIFFER),
    "another text": (
        ELSEWHERE.format("other text"),
        "pretrain vanilla wiki.txt --recipe quick --device cpu --writing_params_path p",
        DIFFER,
    ),
}


@pytest.fixture(scope="module")
def mistakes(world, tmp_path_factory):
    """What two processes say and return for each of MISTAKES; and a folder, in which they may have written something."""
    folder = tmp_path_factory.mktemp("mistakes")
    for name in (".", "other machine", "other text"):
        shutil.copytree(world, folder / name, dirs_exist_ok=True)
    with (folder / "other text" / "wiki.txt").open("a", encoding="utf-8") as text:
        text.write("Ann.\n")
    (folder / "other machine" / "far.checkpoint").touch()
    (folder / "odd.checkpoint").write_bytes(hashlib.sha256(b"odd").digest() + b"odd")
    corpus = CharCorruptionDataset.from_file(folder / "wiki.txt", 96)
    for seed, name in enumerate((".", "other machine")):
        torch.manual_seed(seed)
        config = GPTConfig(corpus.vocab_size, 96, n_head=RECIPES["quick"].n_head, n_embd=RECIPES["quick"].n_embd)
        torch.save(GPT(config).state_dict(), folder / name / "m.params")
    program = folder / "program.py"
    program.write_text(f"import sys\nsys.path.insert(0, {str(RUN.parent)!r})\n{ONE_AFTER_THE_OTHER}", encoding="utf-8")
    scenes = json.dumps([[prepare, line] for prepare, line, _ in MISTAKES.values()])
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", program, scenes]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = [
        [json.loads((folder / f"said{number}.{rank}").read_text(encoding="utf-8")) for rank in (0, 1)] for number in range(len(MISTAKES))
    ]
    return dict(zip(MISTAKES, said, strict=True)), folder


@pytest.mark.parametrize("which", MISTAKES)
def test_what_is_wrong_in_any_process_ends_all_and_is_said_by_the_first(mistakes, which):
    ((code, first), (other_code, other)), message = mistakes[0][which], MISTAKES[which][2]
    assert code == other_code == 2 and other == ""
    assert first.startswith(f"run.py: error: {message}") and first.count("run.py: error: ") == 1
    assert not list(mistakes[1].glob("**/p")) and not list(mistakes[1].glob("**/far"))
