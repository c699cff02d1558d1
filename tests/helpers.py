"""Helpers shared by several tests."""

import io
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import torch
from torch.utils.data import ConcatDataset, Dataset, default_collate

import run
from batches import Batches, CutBatches, Part, Shapes
from console import run_reporting_errors
from dataset import CharCorruptionDataset, NameDataset, corrupt, encode
from model import GPT, GPTConfig, variant_flags
from recipes import VARIANTS
from utils import derive_seed, seeded

FLAGS = {variant: variant_flags(variant, 6) for variant in VARIANTS}


def sharp_model(variant, block_size=24):
    """A small random model whose likeliest characters vary, without near ties."""
    torch.manual_seed(0)
    return sharpened(GPT(GPTConfig(9, block_size, n_layer=3, n_head=2, n_embd=16, **FLAGS[variant])), std=0.6)


def sharpened(model, std):
    """The model with large random parameters: an untrained one predicts much the same for every input."""
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=std)
    return model.eval()


class OneByOne(Dataset):
    """A dataset that makes its examples one by one, like any that is not the project's."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        return self.dataset[index]


class Evil:
    """Unpickles into a call."""

    def __reduce__(self):
        return os.mkdir, ("pwned",)


# ---------------------------------------------------------------- batches

LINES = [f"Person {i} was born in town {i * i % 17}" + ", and lives there still" * (i % 3) + "." for i in range(40)]
CORPUS = CharCorruptionDataset("\n".join(LINES), 100, offset=1)
NAMES = NameDataset(CORPUS, "\n".join(f"Person {i} and\ttown {i}" for i in range(5, 15)))


def spell(dataset, codes):
    """The text of a tensor of codes."""
    return "".join(dataset.itos[code] for code in codes.tolist())


def split_batches(kind, shapes):
    """Batches of 32 for three epochs, made at once or example by example, split into parts of these shapes."""
    if kind == "at once":
        return CutBatches([CORPUS, NAMES], 32, 3, 0, shapes, torch.device("cpu"))
    return Batches(OneByOne(ConcatDataset([CORPUS, NAMES])), 32, 3, 0, shapes, ignored=0)


def padded(kind, step):
    """The same batch as one part with all its padding, built from the datasets' own definitions."""
    if kind == "one by one":
        batches = split_batches(kind, Shapes(1, 1))
        torch.manual_seed(derive_seed(0, "batch", step))
        x, y = default_collate([batches.dataset[index] for index in batches.chosen(step).tolist()])
    else:
        blocks = []
        batches, generator = split_batches(kind, Shapes(1, 1)), torch.Generator().manual_seed(derive_seed(0, "batch", step))
        chosen = batches.chosen(step)
        for document, length, start, span in cuts_of(CORPUS, chosen[chosen < len(CORPUS)], generator):
            block = encode(f"□{corrupt(document, length, start, span)}".ljust(100, "□"), CORPUS.stoi)
            blocks.append((block[:-1], torch.cat((torch.zeros(1, dtype=torch.int64), block[2:]))))
        blocks += [NAMES[index] for index in (chosen[chosen >= len(CORPUS)] - len(CORPUS)).tolist()]
        x, y = default_collate(blocks)
    return Part(x, y, 1.0)


def cuts_of(corpus, indices, generator):
    """The documents with the cuts that the generator draws for them."""
    cuts = corpus.cuts(indices, generator)
    columns = (column.tolist() for column in (cuts.length, cuts.start, cuts.span))
    return zip([corpus.data[index] for index in indices.tolist()], *columns, strict=True)


# ---------------------------------------------------------------- run.py

RUN = Path(__file__).parents[1] / "src" / "run.py"
PRETRAIN = "pretrain vanilla wiki.txt --recipe quick --max_epochs 2 --device cpu --finetune_corpus_path birth_places_train.tsv"


@contextmanager
def start(line, torchrun=None, program=RUN, **kwargs):
    """Start run.py with this command line on one thread, its output piped; given torchrun's flags, in several processes."""
    launcher = ["-m", "torch.distributed.run", *torchrun.split()] if torchrun else []
    if torchrun and "--rdzv" not in torchrun:
        launcher.insert(2, "--standalone")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": os.environ | {"OMP_NUM_THREADS": "1"}}
    if sys.platform != "win32":  # a shell that runs the tests in the background may ignore Ctrl-C, and children inherit that
        pipes["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen([sys.executable, *launcher, program, *line.split()], **pipes | kwargs) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def execute(line, torchrun=None, program=RUN, **kwargs):
    """The exit code of such a run, and what it printed on stdout and stderr."""
    with start(line, torchrun, program, **kwargs) as process:
        out, errors = process.communicate(timeout=300)
    return process.returncode, out, errors


def run_here(line, *more, main=run.main):
    """The same in this process, for run.py or another command's `main`; `more` words follow those of the line."""
    typed, out, errors = sys.argv, io.StringIO(), io.StringIO()
    sys.argv = [str(RUN), *(line.split() if isinstance(line, str) else line), *more]
    try:
        with seeded(0), redirect_stdout(out), redirect_stderr(errors):  # its random draws do not affect later ones
            code = run_reporting_errors(main)
    finally:
        sys.argv = typed
    if code in (130, 143):  # a signal meant for the tests themselves
        raise KeyboardInterrupt(errors.getvalue())
    return code, out.getvalue(), errors.getvalue()


def wait_for(path):
    """Wait until the file exists."""
    for _ in range(2400):
        if Path(path).exists():
            return
        time.sleep(0.05)
    raise TimeoutError(path)


def curve(name):
    """The points of all curves that TensorBoard shows for a run, except its speed, read with TensorBoard's own reader."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = Path("expt").glob(f"*/{name}_*")
    shown = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    tags = set(shown.Tags()["scalars"]) - {"train/examples_per_s"}
    return {tag: [(event.step, event.value) for event in shown.Scalars(tag)] for tag in tags}
