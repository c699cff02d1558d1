"""How fast questions are answered with cached keys and values, compared with answering them one by one.

    python benchmarks/evaluate_speed.py
    python benchmarks/evaluate_speed.py --variant perceiver --questions 100

The model, of the handout's size, is first finetuned briefly on the training questions, so that its answers end.
The twin (plain.py) runs 32 full forward passes per question. Both must give the same answers.
"""

import sys
from statistics import median

import torch

from report import ROOT, finish, in_turns, parser_of, ratio, seconds

from acceleration import pick_device
from console import UserError, number, run_reporting_errors
from dataset import CharCorruptionDataset, NameDataset, decode, prompts_of
from decoding import ANSWER_LENGTH
from files import read_text
from plain import plain_answers
from questions import answer_questions
from recipes import VARIANTS
from tables import read_questions
from train_speed import HANDOUT, make_model
from trainer import Trainer, TrainerConfig


def main() -> None:
    """Answer the questions both ways, in turns."""
    parser = parser_of("Time the answers to the dev questions against one by one.")
    parser.add_argument("--variant", choices=VARIANTS, default="vanilla")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--questions", type=number(int, 1), default=500, help="how many are answered (default 500)")
    parser.add_argument("--epochs", type=number(int, 0), default=4, help="of finetuning beforehand (default 4)")
    args = parser.parse_args()
    device = pick_device(args.device)
    corpus = CharCorruptionDataset.from_file(ROOT / "wiki.txt", HANDOUT.block_size)
    questions = read_questions(ROOT / "birth_dev.tsv")[0][: args.questions]
    model = make_model(corpus, args.variant).to(device)
    if args.epochs:
        config = TrainerConfig(max_epochs=args.epochs, batch_size=64, learning_rate=HANDOUT.finetune_lr, device=str(device))
        Trainer(model, NameDataset(corpus, read_text(ROOT / "birth_places_train.tsv")), None, config).train()

    said: dict[str, list[str]] = {}

    def at_once() -> None:
        said["this project"] = answer_questions(model, corpus, questions)

    def one_by_one() -> None:
        answers = plain_answers(model, prompts_of(questions, corpus.stoi), ANSWER_LENGTH, end=corpus.stoi[corpus.MASK_CHAR])
        said["one by one"] = [decode(indices, corpus.itos) for indices in answers]

    at_once()  # the first call sets things up
    times = in_turns({"this project": lambda: seconds(at_once, device), "one by one": lambda: seconds(one_by_one, device)}, args.rounds)
    if said["this project"] != said["one by one"]:
        raise UserError("the answers differ: decoding is broken")
    print(f"{args.variant}, {len(questions)} questions, median of {args.rounds} rounds; all answers are the same, {said['one by one'][:3]}")
    rows = [
        {
            "": name,
            "s": median(values),
            "questions/s": len(questions) / median(values),
            "times as fast as one by one": ratio(times["one by one"], values),
        }
        for name, values in times.items()
    ]
    finish(args, rows, device)


if __name__ == "__main__":
    torch.set_float32_matmul_precision("highest")  # the twins must agree
    sys.exit(run_reporting_errors(main))
