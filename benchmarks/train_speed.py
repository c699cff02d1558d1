"""How fast an epoch of the handout's pretraining runs: this project, its plain twin, and transformers' Trainer.

    python benchmarks/train_speed.py
    python benchmarks/train_speed.py --variant perceiver --device cuda --epochs 20

The twin is in plain.py. On a CPU with instructions for bfloat16, a row shows what this project gains from them. The
last row appears if `transformers` and `accelerate` are installed (requirements-benchmarks.txt): GPT-2 of the same size on
the same strings.
"""

import importlib.util
import logging
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn

from report import ROOT, finish, in_turns, parser_of, ratio, seconds

from acceleration import has_bf16, pick_device
from batches import CutBatches, Shapes
from console import number, run_reporting_errors
from dataset import CharCorruptionDataset
from model import GPT, GPTConfig, variant_flags
from plain import PlainTrainer
from recipes import RECIPES, VARIANTS
from trainer import Trainer, TrainerConfig

HANDOUT = RECIPES["handout"]
TWIN, BF16 = "plain twin", "this project, bfloat16"


def make_model(corpus: CharCorruptionDataset, variant: str) -> GPT:
    """A model of the handout's size, its perceiver with a bottleneck of 64."""
    torch.manual_seed(0)
    return GPT(GPTConfig(corpus.vocab_size, HANDOUT.block_size, **variant_flags(variant, 64)))


def make_trainer(path: str | Path) -> Trainer:
    """The handout's pretraining of a vanilla model on a corpus, on the CPU."""
    corpus = CharCorruptionDataset.from_file(path, HANDOUT.block_size)
    return Trainer(make_model(corpus, "vanilla"), corpus, None, TrainerConfig(batch_size=HANDOUT.pretrain_batch_size, device="cpu"))


def make_peer(corpus: CharCorruptionDataset, config: TrainerConfig, device: torch.device) -> Any:
    """transformers' Trainer with GPT-2 of the same size on the strings of our own batches, padded to the block."""
    import transformers

    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=corpus.vocab_size,
            n_positions=128,
            n_embd=256,
            n_layer=4,
            n_head=8,
            activation_function="gelu",
            tie_word_embeddings=False,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    batches = CutBatches([corpus], config.batch_size, config.max_epochs, 0, Shapes(10**9, 1), torch.device("cpu"))
    examples = []
    for batch in batches.load(0, 0, pin_memory=False):
        ((x, y, *_),) = batch.parts
        for row in nn.functional.pad(torch.cat((x[:, :1], y), dim=1), (0, 127 - y.size(1))):  # (128,)
            examples.append({"input_ids": row, "labels": row.masked_fill(row == 0, -100)})
    arguments = transformers.TrainingArguments(
        output_dir=str(Path(tempfile.gettempdir(), "transformers")),  # nothing is saved there
        per_device_train_batch_size=config.batch_size,
        num_train_epochs=1,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        adam_beta2=0.95,
        use_cpu=device.type == "cpu",
        bf16=dtype_of("transformers", device) == torch.bfloat16,  # like ours
        dataloader_pin_memory=device.type == "cuda",
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )
    logging.getLogger("transformers").setLevel(logging.ERROR)
    return transformers.Trainer(model=model, args=arguments, train_dataset=examples)


def dtype_of(way: str, device: torch.device) -> torch.dtype:
    """The dtype in which matrices are multiplied."""
    return torch.bfloat16 if way == BF16 or (device.type == "cuda" and way != TWIN and has_bf16(device)) else torch.float32


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a large matrix product."""
    n = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    seconds(lambda: a @ b, device)
    return 2 * n**3 / min(seconds(lambda: a @ b, device) for _ in range(10))


def main() -> None:
    """Time whole epochs in turns."""
    parser = parser_of("Time the handout's pretraining against its plain twin.")
    parser.add_argument("--variant", choices=VARIANTS, default="vanilla")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--epochs", type=number(int, 1), default=1, help="epochs that each is timed for (default 1; more on a GPU)")
    parser.add_argument("--documents", type=number(int, 1), help="documents in an epoch (default: the corpus's 2938)")
    args = parser.parse_args()
    device = pick_device(args.device)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # as run.py does
    text = (ROOT / "wiki.txt").read_text(encoding="utf-8")
    corpus = CharCorruptionDataset("\n".join(text.split("\n")[: args.documents]), HANDOUT.block_size)
    config = TrainerConfig(
        max_epochs=args.epochs,
        batch_size=HANDOUT.pretrain_batch_size,
        learning_rate=HANDOUT.pretrain_lr,
        lr_decay=True,
        warmup_tokens=HANDOUT.warmup_tokens,
        final_tokens=HANDOUT.decay_epochs * len(corpus) * HANDOUT.block_size,
        device=str(device),
    )
    trainer = Trainer(make_model(corpus, args.variant), corpus, None, config)
    twin = PlainTrainer(make_model(corpus, args.variant), corpus, config, device)

    def repeat(trainer: Trainer) -> None:
        trainer.step = 0  # once more from the beginning, keeping what it has learnt
        trainer.train()

    ways = {"this project": lambda: repeat(trainer), TWIN: lambda: [twin.train() for _ in range(args.epochs)]}
    if device.type == "cpu" and has_bf16(device):
        in_bf16 = Trainer(make_model(corpus, args.variant), corpus, None, replace(config, cpu_bf16=True))
        ways[BF16] = lambda: repeat(in_bf16)
    if args.variant == "vanilla" and all(map(importlib.util.find_spec, ("transformers", "accelerate"))):
        ways["transformers"] = make_peer(corpus, config, device).train
    for warm_up in ways.values() if device.type == "cuda" else ():
        warm_up()  # a GPU's first kernels are slow, a CPU's are not
    times = in_turns({name: lambda way=way: seconds(way, device) for name, way in ways.items()}, args.rounds)

    # FLOPs of the weight matrices for unpadded characters, forward and backward; attention's own are not counted
    batches = trainer.batches(corpus, args.epochs)
    n_targets = sum(int((part.y != 0).sum()) for step in range(len(batches)) for part in batches[step].parts)
    matrices = sum(p.numel() for name, p in trainer.model.named_parameters() if p.dim() == 2 and name != "tok_emb.weight")
    peak = {dtype: matmul_rate(device, dtype) for dtype in dict.fromkeys(dtype_of(name, device) for name in ways)}
    rows = [
        {
            "": name,
            "s per epoch": median(values) / args.epochs,
            "examples/s": args.epochs * len(corpus) / median(values),
            "650 epochs, min": median(values) / args.epochs * 650 / 60,
            "times as fast as the twin": ratio(times[TWIN], values),
            "times as fast as transformers": ratio(times["transformers"], values) if "transformers" in times else "-",
            "share of matmul rate": 6 * matrices * n_targets / median(values) / peak[dtype_of(name, device)]
            if args.variant == "vanilla"
            else "-",
        }
        for name, values in times.items()
    ]
    print(f"{args.variant}, {len(corpus)} documents, batches of {config.batch_size}, median of {args.rounds} rounds")
    print("matrix products alone:", ", ".join(f"{rate / 1e9:.0f} GFLOP/s in {str(dtype)[6:]}" for dtype, rate in peak.items()))
    finish(args, rows, device)


if __name__ == "__main__":
    sys.exit(run_reporting_errors(main))
