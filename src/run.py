"""The command line: pretrain a model on a text, finetune it on questions, evaluate its answers, ask it one.

python src/run.py pretrain vanilla wiki.txt --writing_params_path vanilla.pretrain.params
python src/run.py --help
"""

import preflight  # noqa: F401 - before anything that may be missing

# isort: split
import os
import sys
from argparse import Namespace
from pathlib import Path

from cards import card_path
from console import Parser, UserError, first_one_speaks, number, run_reporting_errors
from files import check_output, checkpoint_paths, is_taken
from recipes import RECIPES, VARIANTS

NEEDED_FLAGS = {
    "pretrain": ("writing_params_path",),
    "finetune": ("writing_params_path", "finetune_corpus_path"),
    "evaluate": ("reading_params_path", "eval_corpus_path", "outputs_path"),
    "ask": ("reading_params_path",),
}
OUTPUT_FLAGS = {
    "writing_params_path": ("pretrain", "finetune"),
    "outputs_path": ("evaluate",),
    "details_path": ("evaluate",),
    "report_path": ("evaluate",),
}


def main() -> None:
    """Run the function that the command line names, in however many processes there are."""
    with first_one_speaks():
        args = parse_arguments()
        import processes  # these two load PyTorch, which takes seconds: mistakes show before that
        import stages

        with processes.joined(args.device):
            stages.run(args)


def parse_arguments() -> Namespace:
    """The parsed command line. A flag that is None leaves the choice to the recipe or the machine."""
    handout = RECIPES["handout"]
    rate, count = number(float, 1e-12), number(int, 1, 10**9)
    parser = Parser(
        description="Pretrain a model on a text, finetune it on questions, evaluate its answers, ask it one.", allow_abbrev=False
    )
    parser.add_argument("function", choices=NEEDED_FLAGS, help="what to do")
    parser.add_argument("variant", choices=VARIANTS, help="which model")
    parser.add_argument("pretrain_corpus_path", help="text, one document per line; the vocabulary always comes from here")
    parser.add_argument("question", nargs="?", help="what to ask, for ask")
    parser.add_argument("--bottleneck_dim", type=number(int, 1), default=32, help="latents of the perceiver (default 32)")

    files = parser.add_argument_group("files")
    files.add_argument("--reading_params_path", help="parameters to start from")
    files.add_argument("--writing_params_path", help="where the trained parameters go; pretrain and finetune need it")
    files.add_argument("--finetune_corpus_path", help="questions and places, separated by a tab; pretrain mixes them in, if given")
    files.add_argument("--eval_corpus_path", help="questions to answer; in training, to watch progress on; for ask, to judge certainty by")
    files.add_argument("--outputs_path", help="where the predictions go, one per line; evaluate needs it")
    files.add_argument("--details_path", help="where evaluate writes how sure it is of each answer, as JSON lines")
    files.add_argument("--report_path", help="where evaluate writes the same as an HTML page")
    unknown = "what to do with characters of the questions to answer that the corpus lacks: stop (default), or skip them"
    files.add_argument("--unknown", choices=("stop", "skip"), default="stop", help=unknown)
    files.add_argument("--tb_expt_name", default="run", help="prefix of the TensorBoard folder's name (default run)")

    training = parser.add_argument_group("training")
    training.add_argument("--recipe", choices=RECIPES, default="handout", help="hyperparameters; the flags below override them")
    training.add_argument("--pretrain_lr", type=rate, help=f"peak learning rate of pretraining (handout: {handout.pretrain_lr})")
    training.add_argument("--finetune_lr", type=rate, help=f"peak learning rate of finetuning (handout: {handout.finetune_lr})")
    epochs = f"{handout.pretrain_epochs}; finetune {handout.finetune_epochs}, or {handout.finetune_epochs_pretrained} from a checkpoint"
    training.add_argument("--max_epochs", type=count, help=f"passes over the training data (handout: {epochs})")
    training.add_argument("--batch_size", type=count, help="examples per step")
    training.add_argument("--dropout", type=number(float, 0, 1), help=f"share of activations dropped (handout: {handout.dropout})")
    training.add_argument("--seed", type=number(int, 0, 2**63), default=0, help="seed of all random choices (default 0)")
    training.add_argument("--resume", action="store_true", help="resume from the run's last checkpoint, if there is one")
    training.add_argument("--checkpoint_minutes", type=number(float, 0), default=5, help="minutes between checkpoints (default 5)")

    machine = parser.add_argument_group("machine")
    machine.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps; auto, the default, takes a CUDA GPU or else the CPU")
    machine.add_argument("--plain", action="store_true", help="train part by part, without CUDA graphs or bfloat16 (which Muon keeps)")
    machine.add_argument("--deterministic", action="store_true", help="on a GPU: the same bits each time, slower; a CPU gives them anyway")

    args = parser.parse_intermixed_args()  # the question may come last
    check_arguments(args)
    return args


def check_arguments(args: Namespace) -> None:
    """Raise UserError if a flag is missing, or the output can't or should not be written."""
    for flag in NEEDED_FLAGS[args.function]:
        if getattr(args, flag) is None:
            raise UserError(f"{args.function} needs --{flag}")
    if args.function == "ask" and not (args.question or "").strip():
        raise UserError("ask needs a question, in quotes")
    if args.function != "ask" and args.question is not None:
        raise UserError(f"{args.function} takes no {args.question!r}")
    outputs = {flag: path for flag in OUTPUT_FLAGS if (path := getattr(args, flag)) is not None}
    for flag in outputs:
        if args.function not in OUTPUT_FLAGS[flag]:
            raise UserError(f"{args.function} takes no --{flag}: that is for {' and '.join(OUTPUT_FLAGS[flag])}")
    if len({Path(os.path.realpath(path)) for path in outputs.values()}) < len(outputs):
        raise UserError("two outputs have the same path: change one of them")
    inputs = [args.pretrain_corpus_path, args.finetune_corpus_path, args.eval_corpus_path]
    if args.reading_params_path is not None:
        inputs += [args.reading_params_path, str(card_path(args.reading_params_path))]
    for path in outputs.values():
        check_output(path, inputs)
    if args.writing_params_path is not None:
        # where a folder lies in a checkpoint's place, say, only the checkpoint is missed
        checkpoints = [(path, "a checkpoint") for path in checkpoint_paths(args.writing_params_path) if os.path.isfile(path)]
        for path, what in [(card_path(args.writing_params_path), "the card"), *checkpoints]:
            if is_taken(path, inputs):
                why = "is one of the inputs, or not an ordinary file: name another output"
                raise UserError(f"{path}, where {what} of {args.writing_params_path} goes, {why}")


if __name__ == "__main__":
    sys.exit(run_reporting_errors(main))
