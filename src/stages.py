"""The stages of a run: pretrain a model on a text, finetune it on questions, evaluate its answers, or ask it one.

`args` is the command line, as run.py reads it.
"""

import os
import platform
from argparse import Namespace
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

import processes
from acceleration import pick_device
from cards import announce_bundled, read_card, recipe_of, write_card
from checkpoint import load_params, save_params
from console import Stopped, UserError, blaming
from curves import open_curves
from dataset import CharCorruptionDataset, NameDataset, mix
from evaluation import prepare_asking, prepare_evaluation
from files import file_sha256, read_text
from model import GPT, GPTConfig, variant_flags
from recipes import Recipe, choose_recipe
from resume import Checkpoints, noting_signals, train_resumably
from trainer import Trainer, TrainerConfig
from utils import set_seed
from watcher import Watcher


def run(args: Namespace) -> None:
    """Do what `args.function` says: first read all that the flags name, so that mistakes show early, then do the work."""
    with processes.agreeing():
        recipe = choose_recipe(args)
        device = pick_device(args.device)
        set_seed(args.seed)
        if args.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS requires it
            torch.use_deterministic_algorithms(True)

        corpus = read_corpus(args.pretrain_corpus_path, args.variant, recipe)
        print(f"data has {corpus.n_characters} characters, {corpus.vocab_size} unique.")
        announce_bundled(args.pretrain_corpus_path, corpus.text.sha256, [args.finetune_corpus_path, args.eval_corpus_path])

        model = make_model(args, recipe, corpus)
        print(f"number of parameters: {sum(p.numel() for p in model.parameters())}")
        print(f"device: {device}")
        if args.reading_params_path is not None:
            load_params(model, args.reading_params_path, corpus.text.vocabulary_sha256)
            announce_other_recipe(args)
        prepare = {"evaluate": prepare_evaluation, "ask": prepare_asking}.get(args.function, prepare_training)
        work = prepare(args, recipe, model.to(device), corpus)
        table = args.eval_corpus_path and file_sha256(args.eval_corpus_path)
        decisive = [identity(args, recipe, corpus), table, args.unknown, args.question, args.plain, args.resume, device.type]
    check_alike(decisive)
    work()


def check_alike(what_decides: Any) -> None:
    """Raise UserError if what decides the result is not the same in all processes: each would do its part of another work."""
    with processes.agreeing():
        if processes.from_first(what_decides) != what_decides:
            raise UserError("the flags, devices or files differ from the first process's")


def announce_other_recipe(args: Namespace) -> None:
    """Print a line if the parameters to read were trained with a different recipe from the command's."""
    theirs = recipe_of(read_card(args.reading_params_path))
    if theirs not in (None, args.recipe):
        print(f"{args.reading_params_path} was trained with --recipe {theirs}, not {args.recipe}: use the same, unless this is intended.")


def read_corpus(path: str | Path, variant: str, recipe: Recipe) -> CharCorruptionDataset:
    """The text, to be cut as the recipe prescribes for that variant."""
    offset = 0 if variant == "rope" else recipe.offset  # rotary embeddings encode distances, not positions
    how = {"length_draws": recipe.length_draws, "offset": offset, "salient_share": recipe.salient_share}
    return CharCorruptionDataset.from_file(path, recipe.block_size, **how)


def make_model(args: Namespace, recipe: Recipe, corpus: CharCorruptionDataset) -> GPT:
    """An untrained model of the variant and the recipe's size."""
    config = GPTConfig(
        corpus.vocab_size,
        recipe.block_size,
        n_layer=recipe.n_layer,
        n_head=recipe.n_head,
        n_embd=recipe.n_embd,
        embd_pdrop=recipe.dropout,
        resid_pdrop=recipe.dropout,
        attn_pdrop=recipe.dropout,
        **variant_flags(args.variant, args.bottleneck_dim),
    )
    return GPT(config)


def read_training_data(args: Namespace, corpus: CharCorruptionDataset) -> Dataset:
    """The text or, in finetuning, the questions with their answers; in pretraining, these are mixed into the text, if given."""
    if args.finetune_corpus_path is None:
        return corpus
    questions = read_text(args.finetune_corpus_path)
    with blaming(args.finetune_corpus_path):
        return mix(corpus, questions) if args.function == "pretrain" else NameDataset(corpus, questions)


def prepare_training(args: Namespace, recipe: Recipe, model: GPT, corpus: CharCorruptionDataset) -> Callable[[], None]:
    """Read the training data. Returns the function that trains on it."""
    dataset = read_training_data(args, corpus)
    config = trainer_config(args, recipe, len(dataset), len(corpus))
    announce_training(args, recipe, config.max_epochs, len(dataset), len(corpus))
    return partial(train, args, recipe, model, corpus, dataset, config, Watcher(args, model, corpus))


def announce_training(args: Namespace, recipe: Recipe, n_epochs: int, n_examples: int, n_documents: int) -> None:
    """Print what a run is about to do: a forgotten flag shows before hours of work."""
    latents = f" with {args.bottleneck_dim} latents" * (args.variant == "perceiver")
    start = "from scratch" if args.reading_params_path is None else f"from {args.reading_params_path}"
    passes = f"{n_epochs} epoch{'s' * (n_epochs > 1)} of {n_examples} examples"
    print(f"{args.function} {args.variant}{latents} {start}: {passes}, recipe {args.recipe}")
    if args.function == "pretrain" and args.finetune_corpus_path is not None:
        print(f"{n_examples - n_documents} questions are mixed into the text.")
    elif args.function == "pretrain" and recipe.mixes_questions:
        print("This recipe is designed for training questions mixed into the text: name their file with --finetune_corpus_path.")


def train(
    args: Namespace, recipe: Recipe, model: GPT, corpus: CharCorruptionDataset, dataset: Dataset, config: TrainerConfig, watcher: Watcher
) -> None:
    """Pretrain or finetune, and write the parameters with their card."""
    if next(model.parameters()).device.type == "cuda" and not args.plain:
        torch.set_float32_matmul_precision("high")  # TF32 for what is not in bfloat16
    checkpoints = Checkpoints(args.writing_params_path, identity(args, recipe, corpus), args.checkpoint_minutes)
    if not args.resume and checkpoints.path.exists():
        print(f"{checkpoints.path}, from an earlier run, will be replaced; with --resume, the same run would resume from it.")
    state = checkpoints.load() if args.resume else None
    if args.resume and state is None:
        print(f"No checkpoint to resume from ({checkpoints.path}): starting at the beginning.")
    first_step = state["step"] if state else 0
    with noting_signals() as received:
        with open_curves(args, recipe, first_step if args.resume else None) as writer:
            trainer = Trainer(model, dataset, None, replace(config, writer=writer))
            if state is not None:
                trainer.restore(state)
                del state
                print(f"Resuming after step {trainer.step}.")
            train_resumably(trainer, checkpoints, received, partial(watcher.look, trainer))
            if trainer.step > first_step:  # else the run had ended and, unless its very last step was interrupted, logged its results
                writer.add_run(Path(args.writing_params_path).stem, args, recipe, {"final loss": trainer.loss, **watcher.results})
        with processes.agreeing():  # no process leaves before the parameters are written
            if processes.rank() == 0:
                write_parameters(args, model, facts_of_run(args, recipe, corpus, trainer), saved=checkpoints.saved_step == trainer.step)
                print(f"Parameters written to {args.writing_params_path}; final loss {trainer.loss:.3f}, {trainer.seconds:.0f} s")
        late = processes.largest(received[0] if received else 0)
    if late:
        raise Stopped(late, "stopped after the run's last step: its parameters are written")


def write_parameters(args: Namespace, model: GPT, facts: dict[str, Any], saved: bool) -> None:
    """Write the parameters, then their card. Raises UserError if that fails; `saved` says whether a checkpoint has them, too."""
    try:
        save_params(model, args.writing_params_path)
        write_card(args.writing_params_path, facts)
    except UserError as error:  # a full disk, say
        raise UserError(f"{error}{': once it can be, the same command with --resume writes it' * saved}") from None


def facts_of_run(args: Namespace, recipe: Recipe, corpus: CharCorruptionDataset, trainer: Trainer) -> dict[str, Any]:
    """The contents of the parameters' card."""
    return {
        "arguments": vars(args),
        "recipe": asdict(recipe),
        "corpus": args.pretrain_corpus_path,
        "corpus_sha256": corpus.text.sha256,
        "vocabulary_sha256": corpus.text.vocabulary_sha256,
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "final_loss": trainer.loss,
        "seconds": round(trainer.seconds, 1),
    }


def identity(args: Namespace, recipe: Recipe, corpus: CharCorruptionDataset) -> dict[str, Any]:
    """What has to be the same for a run to resume, and in all its processes: everything that decides its result except the machine."""
    files = {"the questions": args.finetune_corpus_path, "the starting parameters": args.reading_params_path}
    return {
        "function": args.function,
        "variant": args.variant,
        "bottleneck_dim": args.bottleneck_dim if args.variant == "perceiver" else None,
        "seed": args.seed,
        "tb_expt_name": args.tb_expt_name,
        **{name: list(value) if isinstance(value, tuple) else value for name, value in asdict(recipe).items()},  # as in older checkpoints
        "the corpus's hash": corpus.text.sha256[:12],
        **{f"{name}' hash": path and file_sha256(path)[:12] for name, path in files.items()},
    }


def trainer_config(args: Namespace, recipe: Recipe, n_examples: int, n_documents: int) -> TrainerConfig:
    """The recipe's settings for this function; `n_examples` is the size of its dataset."""
    if args.function == "pretrain":
        epochs, batch_size, rate = recipe.pretrain_epochs, recipe.pretrain_batch_size, recipe.pretrain_lr
        muon_lr = recipe.muon_lr
    else:
        epochs, rate = recipe.finetuning(pretrained=args.reading_params_path is not None)
        batch_size, muon_lr = recipe.finetune_batch_size, None
    final_tokens = (epochs * n_examples if recipe.decay_epochs is None else recipe.decay_epochs * n_documents) * recipe.block_size
    return TrainerConfig(
        max_epochs=epochs,
        batch_size=batch_size,
        learning_rate=rate,
        muon_lr=muon_lr,
        betas=recipe.betas,
        weight_decay=recipe.weight_decay,
        grad_norm_clip=recipe.grad_norm_clip,
        lr_decay=True,
        warmup_tokens=recipe.warmup_tokens,
        final_tokens=final_tokens,
        lr_floor=recipe.lr_floor,
        seed=args.seed,
        device=args.device,
        cpu_bf16=recipe.cpu_bf16,
        plain=args.plain,
    )
