"""All commands of a handout in order, from looking at the data to the zip.

    python src/reproduce.py --edition perceiver      (or: make reproduce EDITION=perceiver)

Stopped at any point, it resumes there when the command is typed again.
"""

import preflight  # noqa: F401 - before anything that may be missing

# isort: split
import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from cards import read_card, recipe_of
from console import Parser, UserError, run_reporting_errors, typed
from files import file_sha256
from handout import EDITIONS, PARTS, TEXT, TRAIN, commands
from recipes import RECIPES

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Run the commands; the exit code is that of the first one that failed."""
    parser = Parser(description="Run all commands of a handout.")
    parser.add_argument("--edition", choices=EDITIONS, default="perceiver")
    parser.add_argument("--recipe", choices=RECIPES, default="handout")
    args = parser.parse_args()
    return reproduce(args.edition, args.recipe, Path())


def reproduce(edition: str, recipe: str, folder: Path) -> int:
    """Run an edition's commands in a folder with the data; print how long each took. Raises UserError as `refuse_others` does."""
    refuse_others(edition, recipe, folder)
    took = {}
    for command in commands(edition):
        script, *arguments = shlex.split(complete(command, recipe))
        words = [path_from(folder, ROOT / script), *arguments]
        print(f"\n{'' if folder == Path() else folder}$ {typed(['python', *words])}", flush=True)
        began = time.monotonic()
        if code := run([sys.executable, *words], folder):
            when = "" if code in (130, 143) else ", once that is fixed"
            print(f"Stopped with exit code {code}. The same command resumes from here{when}.")
            return code
        took[command] = time.monotonic() - began
    print()
    if code := run([sys.executable, str(Path(__file__).with_name("submission.py")), "--edition", edition, "--folder", str(folder)], Path()):
        return code
    print("\nWhat each command took (training: in total, across interruptions):")
    for command, seconds in took.items():
        output = output_of(command)
        trained = read_card(folder / output).get("seconds", seconds) if output else seconds
        print(f"{trained:8.0f} s  {' '.join(command.split()[:3])} -> {output or 'the terminal'}")
    return 0


def refuse_others(edition: str, recipe: str, folder: Path) -> None:
    """Raise UserError if parameters there are of another recipe or text: their checkpoints could not be resumed."""
    if not (folder / TEXT).is_file():
        return  # the first command will say so
    text = file_sha256(folder / TEXT)
    cards = {name: read_card(folder / name) for name in map(output_of, commands(edition)) if name and name.endswith(".params")}
    others = [name for name, card in cards.items() if card and (recipe_of(card), card.get("corpus_sha256")) != (recipe, text)]
    if others:
        cure = "delete them and their checkpoints (*.params*), or work in another folder"
        raise UserError(f"{', '.join(others)}: trained with another recipe than {recipe}, or on another {TEXT} than this: {cure}")


def path_from(folder: Path, path: Path) -> str:
    """The path as typed in the folder: relative, or in full if it is on another Windows drive."""
    with suppress(ValueError):
        return os.path.relpath(path, os.path.realpath(folder))  # in a linked folder, ".." is the target's parent
    return str(path)


def complete(command: str, recipe: str) -> str:
    """The command with what makes it resumable and, for recipes other than the handout's, what they need."""
    if not command.startswith("src/run.py"):
        return command
    if recipe != "handout":
        command = command.replace(" --pretrain_lr 6e-3", "") + f" --recipe {recipe}"
    if RECIPES[recipe].mixes_questions and " pretrain " in command:
        command += f" --finetune_corpus_path {TRAIN}"
    if " evaluate " not in command:
        command += " --resume"
    if PARTS["nopretrain"][0] in command:
        command += " --tb_expt_name nopretrain"  # lest it and the pretrained one share a curve
    return command


def output_of(command: str) -> str | None:
    """The file that a command writes; None if it only prints."""
    words = command.split()
    return next((words[n + 1] for n, word in enumerate(words) if word in ("--writing_params_path", "--outputs_path")), None)


def run(command: list[str], folder: Path) -> int:
    """The command's exit code, or a signal's, if one came: Ctrl-C reaches it too, SIGTERM is passed on.

    It is waited for in any case: it has things to save.
    """
    received: list[int] = []
    with subprocess.Popen(command, cwd=folder) as process:

        def pass_on(number: int, _: object) -> None:
            received.append(number)
            process.terminate()

        former = signal.signal(signal.SIGTERM, pass_on)
        try:
            while True:
                try:
                    code = process.wait()
                    break
                except KeyboardInterrupt:
                    received.append(signal.SIGINT)
        finally:
            signal.signal(signal.SIGTERM, former)
    if code < 0:
        return 128 - code  # as a shell reports it, if a signal ended it
    return code or (128 + received[0] if received else 0)  # a command that was all but done may have ended as if nothing were


if __name__ == "__main__":
    sys.exit(run_reporting_errors(main))
