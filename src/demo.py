"""The main job in small: London, no pretraining, and pretraining, on an invented world of some hundred people.

    python src/demo.py        (or: make demo)

The files land in demo/, the curves in expt/.
"""

import math
import shlex
import subprocess
import sys
import time
from pathlib import Path

from console import run_reporting_errors
from files import read_questions, read_text, split_rows
from utils import evaluate_places

PEOPLE = 450
STEPS = f"""
make_corpus.py --people {PEOPLE} --seed 1 --out demo
run.py finetune vanilla demo/wiki.txt --recipe quick --tb_expt_name demo --writing_params_path demo/vanilla.model.params --finetune_corpus_path demo/birth_places_train.tsv
run.py evaluate vanilla demo/wiki.txt --recipe quick --tb_expt_name demo --reading_params_path demo/vanilla.model.params --eval_corpus_path demo/birth_dev.tsv --outputs_path demo/vanilla.nopretrain.dev.predictions
run.py pretrain vanilla demo/wiki.txt --recipe quick --tb_expt_name demo --writing_params_path demo/vanilla.pretrain.params --finetune_corpus_path demo/birth_places_train.tsv
run.py finetune vanilla demo/wiki.txt --recipe quick --tb_expt_name demo --reading_params_path demo/vanilla.pretrain.params --writing_params_path demo/vanilla.finetune.params --finetune_corpus_path demo/birth_places_train.tsv
run.py evaluate vanilla demo/wiki.txt --recipe quick --tb_expt_name demo --reading_params_path demo/vanilla.finetune.params --eval_corpus_path demo/birth_dev.tsv --outputs_path demo/vanilla.pretrain.dev.predictions
"""  # noqa: E501 - commands as they are typed


def main() -> int:
    """Run the steps, then print the table; the exit code is that of the first step that failed."""
    started = time.monotonic()
    Path("demo").mkdir(exist_ok=True)
    print(f"The main job in small: an invented world of {PEOPLE} people instead of 2937, and a model of a quarter of the size.")
    for step in STEPS.strip().split("\n"):
        print(f"\n$ python src/{step}", flush=True)
        script, *arguments = shlex.split(step)
        command = [sys.executable, str(Path(__file__).with_name(script)), *arguments]
        if code := run(command):
            return code
    print_table()
    print(f"\nDone in {time.monotonic() - started:.0f} s. The files are in demo/, the curves in expt/: tensorboard --logdir expt/")
    return 0


def run(command: list[str]) -> int:
    """The command's exit code. It gets a Ctrl-C too, and is waited for: it has things to save."""
    with subprocess.Popen(command) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue


def print_table() -> None:
    """A few answers, then the accuracies on dev, each with its standard error."""
    questions, places = read_questions("demo/birth_dev.tsv")
    rows = {
        'always "London"': ["London"] * len(questions),
        "vanilla, no pretraining": split_rows(read_text("demo/vanilla.nopretrain.dev.predictions")),
        "vanilla, pretrained": split_rows(read_text("demo/vanilla.pretrain.dev.predictions")),
    }
    print("\nWhat the pretrained model says, and what its text said:")
    for question, said, place in list(zip(questions, rows["vanilla, pretrained"], places or [], strict=True))[:8]:
        print(f"  {question:<45} {said:<20} {'right' if said == place else place}")
    print(f"\nBirth places of {len(questions)} people of whom the model was asked nothing in training:")
    for name, predictions in rows.items():
        total, correct = evaluate_places("demo/birth_dev.tsv", predictions)
        share = (correct + 1) / (total + 2)  # Laplace's estimate
        error = math.sqrt(share * (1 - share) / total)
        print(f"  {name:<24} {correct:3.0f} right  {100 * correct / total:5.1f}%  (standard error {100 * error:.1f})")
    print("  The standard errors are of (right + 1) / (asked + 2): none right does not mean none ever.")


if __name__ == "__main__":
    sys.exit(run_reporting_errors(main))
