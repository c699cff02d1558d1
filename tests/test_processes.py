"""Several processes under torchrun compute what one does."""

import hashlib
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


@pytest.fixture(scope="module")
def precise(tmp_path_factory):
    """run.py with Muon in float32: in bfloat16, it would amplify the last bits, in which sums over processes differ."""
    return run_after("import muon; muon.has_bf16 = lambda device: False", tmp_path_factory.mktemp("precise"))


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
    return run_after(COUNTING, tmp_path_factory.mktemp("counting"))


@pytest.fixture(scope="module")
def alone(world, tmp_path_factory, precise):
    """A folder with the results of a single-process run."""
    folder = tmp_path_factory.mktemp("alone")
    shutil.copytree(world, folder, dirs_exist_ok=True)
    code, _, errors = execute(f"{PRETRAIN} --writing_params_path one.params --tb_expt_name one", program=precise, cwd=folder)
    assert code == 0, errors
    assert execute(f"{EVALUATE} --outputs_path one.said", cwd=folder)[0] == 0
    return folder


@pytest.fixture
def beside(alone, monkeypatch):
    monkeypatch.chdir(alone)


@pytest.mark.parametrize("n_processes", [2, 3, 4])
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


GRADIENTS = """
import sys
import torch
import processes
from batches import make_batches
from dataset import CharCorruptionDataset
from model import GPT, GPTConfig
from trainer import Trainer, TrainerConfig

with processes.joined("cpu"):
    torch.manual_seed(processes.rank())  # so that the parameters have to come from the first one
    corpus = CharCorruptionDataset("\\n".join(f"Person {i} was born in town {i * i % 17}." for i in range(int(sys.argv[2]))), 48)
    model = GPT(GPTConfig(corpus.vocab_size, 48, n_layer=2, n_head=2, n_embd=16, embd_pdrop=0, resid_pdrop=0, attn_pdrop=0)).double()
    trainer = Trainer(model, corpus, None, TrainerConfig(batch_size=99, grad_norm_clip=1e9, learning_rate=1e-12, device="cpu"))
    loss, _ = trainer.train_step(trainer.batches(corpus, 1)[0], 1e-12)
    if processes.rank() == 0:
        torch.save([loss, *(p.grad for p in model.parameters())], sys.argv[1])
"""


@pytest.mark.parametrize("n_examples", [40, 1])
def test_the_gradients_are_summed_over_the_processes(tmp_path, monkeypatch, n_examples):
    """Even with a single example, which leaves the second process nothing to do."""
    (tmp_path / "gradients.py").write_text(GRADIENTS, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "src"))
    for launcher, out in (([], "one"), (["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"], "two")):
        command = [sys.executable, *launcher, "gradients.py", out, str(n_examples)]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    one, two = (torch.load(tmp_path / out, weights_only=True) for out in ("one", "two"))
    assert any(gradient.abs().max() > 1e-3 for gradient in one[1:])
    for expected, found in zip(one, two, strict=True):
        torch.testing.assert_close(found, expected)


THREADS = """
from pathlib import Path
import torch
import processes

def of_the_group():
    return [task for task in Path("/proc/self/task").iterdir() if "gloo" in (task / "comm").read_text()]

with processes.joined("cpu"):
    torch.optim.AdamW([torch.zeros(1)])
    assert processes.gathered(processes.rank()) == [0, 1] and of_the_group()
assert not of_the_group()
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc thread list")
def test_no_thread_outlives_the_group(tmp_path, monkeypatch):
    """One that did would now and then abort the process at exit."""
    (tmp_path / "threads.py").write_text(THREADS, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "src"))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "threads.py"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_a_run_may_go_on_in_another_number_of_processes(beside, precise):
    line = f"{PRETRAIN} --max_epochs 4 --writing_params_path {{0}}.params --tb_expt_name {{0}} --checkpoint_minutes 0"
    assert execute(line.format("four"), program=precise)[0] == 0
    with start(line.format("other"), "--nproc_per_node 2", precise) as process:
        wait_for("other.params.checkpoint.previous")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
    assert process.returncode != 0 and not Path("other.params").exists()
    code, out, errors = execute(line.format("other") + " --resume", "--nproc_per_node 4", precise)
    assert code == 0, errors
    assert re.search(r"^Resuming after step \d+\.$", out, flags=re.MULTILINE)
    assert_same_run("other", "four")


@pytest.mark.parametrize("restarts", [0, 1])
def test_a_killed_worker_ends_the_job_or_torchrun_restarts_it(beside, precise, restarts):
    line = f"{PRETRAIN} --max_epochs 4 --writing_params_path {{0}}.params --tb_expt_name {{0}} --checkpoint_minutes 0 --resume"
    name = f"killed{restarts}"
    with start(line.format(name), f"--nproc_per_node 2 --max_restarts {restarts}", precise) as process:
        wait_for(f"{name}.params.checkpoint.previous")
        workers = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True).stdout.split()
        os.kill(int(workers[-1]), signal.SIGKILL)
        out, errors = process.communicate(timeout=300)
    if restarts:
        assert process.returncode == 0, errors
        assert re.search(r"^Resuming after step \d+\.$", out, flags=re.MULTILINE)
        if not Path("whole.params").exists():
            assert execute(line.format("whole"), program=precise)[0] == 0
        assert_same_run(name, "whole")
    else:
        assert process.returncode != 0
        assert not Path(f"{name}.params").exists() and Path(f"{name}.params.checkpoint").exists()


def test_two_machines_train_as_one_and_begin_again_after_a_death_on_one(beside, precise, tmp_path):
    """Two torchruns, each in its own folder; the one started first, whose process ID is lower, counts as the first machine."""
    line = f"{PRETRAIN} --max_epochs 4 --writing_params_path {{0}}.params --tb_expt_name {{0}} --checkpoint_minutes 0 --resume"
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    torchrun = f"--nnodes 2 --nproc_per_node 1 --max_restarts 3 --rdzv_backend c10d --rdzv_endpoint localhost:{port}"
    data = ("wiki.txt", "birth_places_train.tsv")
    folders = [Path.cwd(), tmp_path]
    for name in data:
        Path(tmp_path, name).write_bytes(Path(name).read_bytes())
    with ExitStack() as stack:
        machines = [stack.enter_context(start(line.format("machines"), torchrun, precise, cwd=folder)) for folder in folders]
        wait_for("machines.params.checkpoint.previous")
        workers = subprocess.run(["pgrep", "-P", str(machines[1].pid)], capture_output=True, text=True, check=True).stdout.split()
        os.kill(int(workers[-1]), signal.SIGKILL)
        said = [machine.communicate(timeout=300) for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], said
    assert re.search(r"^Resuming after step \d+\.$", said[0][0], flags=re.MULTILINE)
    assert said[1][0] == "" and {path.name for path in tmp_path.iterdir()} == set(data)  # only the first prints and writes
    if not Path("whole.params").exists():
        assert execute(line.format("whole"), program=precise)[0] == 0
    assert_same_run("machines", "whole")


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


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("pretrain vanilla nowhere.txt --writing_params_path p", "can't read nowhere.txt"),
        ("pretrain vanilla wiki.txt --writing_params_path p --device cuda:1", "several processes take a GPU each, or CPU cores"),
    ],
)
def test_a_mistake_is_said_once(beside, line, message):
    code, _, errors = execute(line, "--nproc_per_node 2")
    assert code != 0 and errors.count("run.py: error: ") == errors.count(message) == 1


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


def test_a_mistake_is_said_by_a_first_process_that_is_slower_than_the_others(beside, tmp_path):
    program = run_after('import os, time; time.sleep(3 * (os.environ["RANK"] == "0"))', tmp_path)
    code, _, errors = execute("pretrain vanilla wiki.txt", "--nproc_per_node 2", program)
    assert code != 0 and errors.count("error: pretrain needs --writing_params_path") == 1


def test_a_checkpoint_that_another_machine_has_is_not_overlooked(beside, tmp_path):
    """On several machines, the process that is first now may not be the one that was first when the checkpoint was written."""
    for name in ("wiki.txt", "birth_places_train.tsv"):
        Path(tmp_path, name).write_bytes(Path(name).read_bytes())
    Path(tmp_path, "far.checkpoint").touch()
    program = run_after(f'import os; os.chdir({str(tmp_path)!r} if os.environ["RANK"] == "1" else ".")', tmp_path)
    code, _, errors = execute(f"{PRETRAIN} --writing_params_path far --resume", "--nproc_per_node 2", program)
    assert code != 0 and errors.count("run.py: error: far.checkpoint is with process 1, not with the first: copy it") == 1
    assert errors.count("run.py: error: ") == 1 and not Path("far").exists()


def test_a_checkpoint_that_cant_be_read_is_said_once(beside):
    Path("odd.checkpoint").write_bytes(hashlib.sha256(b"odd").digest() + b"odd")
    code, _, errors = execute(f"{PRETRAIN} --writing_params_path odd --resume", "--nproc_per_node 2")
    assert code != 0 and errors.count("run.py: error: odd.checkpoint is whole, but can't be read here") == 1
    assert errors.count("run.py: error: ") == 1


def test_processes_with_different_parameters_do_not_share_the_questions(beside, tmp_path):
    """As on two machines, the second of which has an older file by the same name."""
    for name in ("wiki.txt", "birth_dev.tsv"):
        Path(tmp_path, name).write_bytes(Path(name).read_bytes())
    corpus = CharCorruptionDataset.from_file("wiki.txt", 96)
    for folder, seed in ((Path(), 0), (tmp_path, 1)):
        torch.manual_seed(seed)
        config = GPTConfig(corpus.vocab_size, 96, n_head=RECIPES["quick"].n_head, n_embd=RECIPES["quick"].n_embd)
        torch.save(GPT(config).state_dict(), folder / "m.params")
    line = "evaluate vanilla wiki.txt --recipe quick --device cpu --reading_params_path m.params --eval_corpus_path birth_dev.tsv"
    program = run_after(f'import os; os.chdir({str(tmp_path)!r} if os.environ["RANK"] == "1" else ".")', tmp_path)
    code, _, errors = execute(f"{line} --outputs_path o.txt", "--nproc_per_node 2", program)
    assert code != 0 and "error: process 1: the flags, devices or files differ from the first process's" in errors
    assert not Path("o.txt").exists()


def test_processes_of_which_one_alone_resumes_do_not_wait_for_each_other(beside, tmp_path):
    """As on two machines, if the flag was forgotten on one."""
    program = run_after('import os, sys; sys.argv += ["--resume"] * (os.environ["RANK"] == "1")', tmp_path)
    code, _, errors = execute(f"{PRETRAIN} --writing_params_path alone", "--nproc_per_node 2", program)
    assert code != 0 and "error: process 1: the flags, devices or files differ from the first process's" in errors


def test_what_goes_wrong_in_another_process_is_said_by_the_first(beside, tmp_path):
    """As on several machines, the second of which has a different corpus."""
    Path(tmp_path, "wiki.txt").write_text(Path("wiki.txt").read_text(encoding="utf-8") + "Ann.\n", encoding="utf-8")
    line = "pretrain vanilla wiki.txt --recipe quick --device cpu --writing_params_path p"
    program = run_after(f'import os; os.chdir({str(tmp_path)!r} if os.environ["RANK"] == "1" else ".")', tmp_path)
    code, _, errors = execute(line, "--nproc_per_node 2", program)
    assert code != 0 and "error: process 1: the flags, devices or files differ from the first process's" in errors
