"""The main job in small: London, no pretraining, and pretraining, on an invented world of some hundred people.

    python src/demo.py        (or: make demo)

Everything lands in demo/. The world has the statistics of the full one, the model is smaller: see the recipe `quick`.
"""

import math
import shlex
import subprocess
import sys
import time
from pathlib import Path

from utils import evaluate_places, read_questions

PEOPLE = 450
STEPS = """
make_corpus.py --people {people} --seed 1 --out .
run.py finetune vanilla wiki.txt --recipe quick --writing_params_path vanilla.model.params --finetune_corpus_path birth_places_train.tsv
run.py evaluate vanilla wiki.txt --recipe quick --reading_params_path vanilla.model.params --eval_corpus_path birth_dev.tsv --outputs_path vanilla.nopretrain.dev.predictions
run.py pretrain vanilla wiki.txt --recipe quick --writing_params_path vanilla.pretrain.params --finetune_corpus_path birth_places_train.tsv
run.py finetune vanilla wiki.txt --recipe quick --reading_params_path vanilla.pretrain.params --writing_params_path vanilla.finetune.params --finetune_corpus_path birth_places_train.tsv
run.py evaluate vanilla wiki.txt --recipe quick --reading_params_path vanilla.finetune.params --eval_corpus_path birth_dev.tsv --outputs_path vanilla.pretrain.dev.predictions
"""  # noqa: E501 - commands as they are typed


def main() -> int:
    """Run the steps, then print the table; the exit code is that of the first step that failed."""
    folder, source = Path("demo"), Path(__file__).resolve().parent
    folder.mkdir(exist_ok=True)
    started = time.monotonic()
    for step in STEPS.format(people=PEOPLE).strip().split("\n"):
        script, *arguments = shlex.split(step)
        print(f"\n$ python src/{step}", flush=True)
        code = subprocess.run([sys.executable, str(source / script), *arguments], cwd=folder, check=False).returncode
        if code:
            return code

    questions, _ = read_questions(folder / "birth_dev.tsv")
    rows = {
        'always "London"': ["London"] * len(questions),
        "vanilla, no pretraining": predictions(folder / "vanilla.nopretrain.dev.predictions"),
        "vanilla, pretrained": predictions(folder / "vanilla.pretrain.dev.predictions"),
    }
    print(f"\nBirth places of {len(questions)} people that no question was seen about, of an invented world of {PEOPLE}")
    for name, answers in rows.items():
        total, correct = evaluate_places(folder / "birth_dev.tsv", answers)
        share = correct / total
        error = math.sqrt(share * (1 - share) / total)  # of a share of `total` independent trials
        print(f"  {name:<24} {correct:3.0f} right  {100 * share:5.1f}% ± {100 * error:.1f} (standard error)")
    print(f"in {time.monotonic() - started:.0f} s; the files are in {folder}/")
    return 0


def predictions(path: Path) -> list[str]:
    """The lines of a predictions file."""
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")


if __name__ == "__main__":
    sys.exit(main())
