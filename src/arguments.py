"""The flags of run.py, their checks, and the recipe that they choose and change."""

import argparse
import os
from argparse import Namespace as Arguments
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from model import VARIANTS
from recipes import RECIPES, Recipe
from utils import UserError

NEEDED_FLAGS = {
    "pretrain": ("writing_params_path",),
    "finetune": ("writing_params_path", "finetune_corpus_path"),
    "evaluate": ("reading_params_path", "eval_corpus_path", "outputs_path"),
}


class Parser(argparse.ArgumentParser):
    """Reports errors as everything here does: in one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see --help)")


def positive(kind: type) -> Callable[[str], float]:
    """An argparse type: a finite number of that kind, above 0."""

    def number(text: str) -> float:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise ValueError
        return value

    number.__name__ = f"positive {kind.__name__}"  # argparse calls it so in its errors
    return number


def parse_arguments() -> Arguments:
    """The command line. A flag that is None leaves the choice to the recipe or the machine."""
    handout = RECIPES["handout"]
    parser = Parser(description="Pretrain a model on a text, finetune it on questions, evaluate its answers.", allow_abbrev=False)
    parser.add_argument("function", choices=NEEDED_FLAGS, help="what to do")
    parser.add_argument("variant", choices=VARIANTS, help="which model")
    parser.add_argument("pretrain_corpus_path", help="text, a document a line; the vocabulary always comes from here")
    parser.add_argument("--bottleneck_dim", type=positive(int), default=32, help="latents of the perceiver (default 32)")

    files = parser.add_argument_group("files")
    files.add_argument("--reading_params_path", help="parameters to start from")
    files.add_argument("--writing_params_path", help="where the trained parameters go")
    files.add_argument("--finetune_corpus_path", help="questions and places, a tab between them; pretrain mixes them in, where given")
    files.add_argument("--eval_corpus_path", help="questions to answer, with places or without")
    files.add_argument("--outputs_path", help="where the predictions go, a line each")
    files.add_argument("--tb_expt_name", default="run", help="begins the name of the TensorBoard folder (default run)")

    training = parser.add_argument_group("training")
    training.add_argument("--recipe", choices=RECIPES, default="handout", help="hyperparameters; the flags below override them")
    training.add_argument("--pretrain_lr", type=positive(float), help=f"peak learning rate of pretraining (handout: {handout.pretrain_lr})")
    training.add_argument("--finetune_lr", type=positive(float), help=f"peak learning rate of finetuning (handout: {handout.finetune_lr})")
    training.add_argument("--max_epochs", type=positive(int), help="passes over the training data")
    training.add_argument("--batch_size", type=positive(int), help="examples a step")
    training.add_argument("--dropout", type=float, help=f"share of activations dropped (handout: {handout.dropout})")
    training.add_argument("--seed", type=int, default=0, help="of all random choices (default 0)")

    machine = parser.add_argument_group("machine")
    machine.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps; auto, the default, takes a CUDA GPU or else the CPU")
    machine.add_argument("--num_workers", type=int, help="processes that prepare batches (default 4 with a GPU, else 0)")

    args = parser.parse_args()
    check_arguments(args)
    return args


def check_arguments(args: Arguments) -> None:
    """Raise UserError where a flag is missing, out of its range, or names a place that can't be written to."""
    for flag in NEEDED_FLAGS[args.function]:
        if getattr(args, flag) is None:
            raise UserError(f"{args.function} needs --{flag}")
    if args.dropout is not None and not 0 <= args.dropout < 1:
        raise UserError(f"--dropout is {args.dropout}: it must be at least 0 and below 1")
    if args.num_workers is not None and args.num_workers < 0:
        raise UserError(f"--num_workers is {args.num_workers}: it must be at least 0")
    output = Path(args.outputs_path if args.function == "evaluate" else args.writing_params_path)
    if output.is_dir() or not output.parent.is_dir() or not os.access(output.parent, os.W_OK):
        raise UserError(f"can't write {output}: its folder must exist and be writable")


def choose_recipe(args: Arguments) -> Recipe:
    """The recipe that was asked for, with the values of the flags that were given."""
    flags = {"pretrain_lr": args.pretrain_lr, "finetune_lr": args.finetune_lr, "dropout": args.dropout}
    if args.function == "pretrain":
        flags |= {"pretrain_epochs": args.max_epochs, "pretrain_batch_size": args.batch_size}
    else:
        flags |= dict.fromkeys(("finetune_epochs", "finetune_epochs_pretrained"), args.max_epochs)
        flags |= {"finetune_batch_size": args.batch_size}
    return replace(RECIPES[args.recipe], **{name: value for name, value in flags.items() if value is not None})
