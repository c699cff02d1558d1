"""The command line: pretrain a model on a text, finetune it on questions, evaluate its answers.

python src/run.py pretrain vanilla wiki.txt --writing_params_path vanilla.pretrain.params
python src/run.py --help
"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import torch
from torch.utils.data import ConcatDataset, Dataset
from tqdm import tqdm

from checkpoint import load_params, save_params, write_card
from dataset import MASK_CHAR, CharCorruptionDataset, NameDataset, check_characters, encode
from make_corpus import announce_if_invented
from model import GPT, VARIANTS, GPTConfig
from recipes import RECIPES, Recipe
from trainer import Trainer, TrainerConfig, pick_device
from utils import (
    UserError,
    answer,
    blaming,
    evaluate_places,
    read_questions,
    read_text,
    run_reporting_errors,
    set_seed,
    sha256,
    written_whole,
)

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

ANSWER_LENGTH = 32  # characters decoded for an answer, at most
EVALUATION_BATCH = 256  # questions answered at a time

# ---------------------------------------------------------------- arguments

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


def parse_arguments() -> argparse.Namespace:
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
    for flag in NEEDED_FLAGS[args.function]:
        if getattr(args, flag) is None:
            parser.error(f"{args.function} needs --{flag}")
    if args.dropout is not None and not 0 <= args.dropout < 1:
        parser.error(f"--dropout is {args.dropout}: it must be at least 0 and below 1")
    if args.num_workers is not None and args.num_workers < 0:
        parser.error(f"--num_workers is {args.num_workers}: it must be at least 0")
    for path in (args.outputs_path,) if args.function == "evaluate" else (args.writing_params_path,):
        if Path(path).is_dir() or not Path(path).parent.is_dir() or not os.access(Path(path).parent, os.W_OK):
            parser.error(f"can't write {path}: its folder must exist and be writable")
    return args


def choose_recipe(args: argparse.Namespace) -> Recipe:
    """The recipe that was asked for, with the values of the flags that were given."""
    flags = {"pretrain_lr": args.pretrain_lr, "finetune_lr": args.finetune_lr, "dropout": args.dropout}
    if args.function == "pretrain":
        flags |= {"pretrain_epochs": args.max_epochs, "pretrain_batch_size": args.batch_size}
    else:
        flags |= dict.fromkeys(("finetune_epochs", "finetune_epochs_pretrained"), args.max_epochs)
        flags |= {"finetune_batch_size": args.batch_size}
    return replace(RECIPES[args.recipe], **{name: value for name, value in flags.items() if value is not None})


# ---------------------------------------------------------------- the three functions


def main() -> None:
    """Run the function that the command line names."""
    args = parse_arguments()
    recipe = choose_recipe(args)
    device = pick_device(args.device)
    set_seed(args.seed)

    text = read_text(args.pretrain_corpus_path)
    with blaming(args.pretrain_corpus_path):
        corpus = CharCorruptionDataset(text, recipe.block_size)
    print(f"data has {corpus.n_characters} characters, {corpus.vocab_size} unique.")
    announce_if_invented(args.pretrain_corpus_path, text)

    model = make_model(args, recipe, corpus)
    print(f"number of parameters: {sum(p.numel() for p in model.parameters())}")
    if args.reading_params_path is not None:
        load_params(model, args.reading_params_path, vocabulary_sha256(corpus))
    if args.function == "evaluate":
        evaluate(args, recipe, model.to(device), corpus)
    else:
        train(args, recipe, model, corpus)


def make_model(args: argparse.Namespace, recipe: Recipe, corpus: CharCorruptionDataset) -> GPT:
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
        perceiver=args.variant == "perceiver",
        bottleneck_dim=args.bottleneck_dim if args.variant == "perceiver" else None,
        synthesizer=args.variant == "synthesizer",
    )
    return GPT(config)


def train(args: argparse.Namespace, recipe: Recipe, model: GPT, corpus: CharCorruptionDataset) -> None:
    """Pretrain or finetune, and write the parameters with their card."""
    datasets: list[Dataset] = [corpus] if args.function == "pretrain" else []
    if args.finetune_corpus_path is not None:  # in pretraining, the questions are mixed in, each once an epoch
        with blaming(args.finetune_corpus_path):
            datasets.append(NameDataset(corpus, read_text(args.finetune_corpus_path)))
    dataset = ConcatDataset(datasets)

    started = time.monotonic()
    with tensorboard(args, recipe) as writer:
        trainer = Trainer(model, dataset, None, trainer_config(args, recipe, len(dataset), len(corpus), writer))
        trainer.train()
    save_params(model, args.writing_params_path)
    seconds = time.monotonic() - started
    facts = {
        "arguments": vars(args),
        "recipe": asdict(recipe),
        "corpus": args.pretrain_corpus_path,
        "corpus_sha256": sha256("\n".join(corpus.data)),
        "vocabulary_sha256": vocabulary_sha256(corpus),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "final_loss": trainer.loss,
        "seconds": round(seconds, 1),
    }
    write_card(args.writing_params_path, facts)
    print(f"Parameters written to {args.writing_params_path}; final loss {trainer.loss:.3f}, {seconds:.0f} s")


def trainer_config(args: argparse.Namespace, recipe: Recipe, n_examples: int, n_documents: int, writer: "SummaryWriter") -> TrainerConfig:
    """The recipe's numbers for this function, `n_examples` being the size of its dataset."""
    if args.function == "pretrain":
        epochs, batch_size, rate, muon_lr = recipe.pretrain_epochs, recipe.pretrain_batch_size, recipe.pretrain_lr, recipe.muon_lr
    else:
        epochs = recipe.finetune_epochs if args.reading_params_path is None else recipe.finetune_epochs_pretrained
        batch_size, rate, muon_lr = recipe.finetune_batch_size, recipe.finetune_lr, None
    decayed_examples = epochs * n_examples if recipe.decay_epochs is None else recipe.decay_epochs * n_documents
    workers = args.num_workers
    if workers is None:
        workers = 4 if pick_device(args.device).type == "cuda" else 0
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
        final_tokens=decayed_examples * recipe.block_size,
        lr_floor=recipe.lr_floor,
        num_workers=workers,
        seed=args.seed,
        device=args.device,
        writer=writer,
    )


def evaluate(args: argparse.Namespace, recipe: Recipe, model: GPT, corpus: CharCorruptionDataset) -> None:
    """Answer each question of a file, write the answers, and score them where the file has places."""
    questions, _ = read_questions(args.eval_corpus_path)
    for number, question in enumerate(questions, start=1):
        with blaming(args.eval_corpus_path):
            check_characters(question, corpus.stoi, number)
            if len(question) + 1 >= model.get_block_size():
                raise UserError(f"line {number}: a question of {len(question)} characters leaves no room to answer it")

    mask = corpus.stoi[MASK_CHAR]
    prompts = [encode(question + MASK_CHAR, corpus.stoi).tolist() for question in questions]
    predictions = []
    with tqdm(total=len(prompts), unit="q", dynamic_ncols=True) as bar:
        for first in range(0, len(prompts), EVALUATION_BATCH):
            answers = answer(model, prompts[first : first + EVALUATION_BATCH], ANSWER_LENGTH, end=mask)
            predictions += ["".join(corpus.itos[index] for index in indices) for indices in answers]
            bar.update(len(answers))
    with written_whole(args.outputs_path) as temporary:
        temporary.write_text("".join(p.replace("\n", " ") + "\n" for p in predictions), encoding="utf-8")

    total, correct = evaluate_places(args.eval_corpus_path, predictions)
    if not total:
        print("No gold birth places provided; returning (0,0)")
        print(f"Predictions written to {args.outputs_path}; no targets provided")
        return
    print(f"Correct: {correct} out of {total}: {100 * correct / total}%")
    with tensorboard(args, recipe) as writer:
        writer.add_scalar(f"accuracy/{Path(args.eval_corpus_path).stem}", correct / total, 0)


def tensorboard(args: argparse.Namespace, recipe: Recipe) -> "SummaryWriter":
    """A writer into expt/, in the folder that the handouts name."""
    from torch.utils.tensorboard import SummaryWriter  # its import takes seconds

    run = f"{args.tb_expt_name}_{args.variant}_{args.bottleneck_dim}_pt_lr_{recipe.pretrain_lr:f}_ft_lr_{recipe.finetune_lr:f}"
    try:
        return SummaryWriter(Path("expt", args.function, run))
    except OSError as error:
        raise UserError(f"can't write the TensorBoard folder expt/{args.function}: {error.strerror or error}") from None


def vocabulary_sha256(corpus: CharCorruptionDataset) -> str:
    """The hash of the corpus's characters in their order."""
    return sha256("".join(corpus.stoi))


if __name__ == "__main__":
    sys.exit(run_reporting_errors(main))
