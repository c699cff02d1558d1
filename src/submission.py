"""Collect what is handed in: assignment5.zip, of the code, the data and the outputs of one edition or both."""

import sys
from pathlib import Path

from console import Parser, run_reporting_errors
from files import announce_if_bundled, file_sha256, write_zip

DATA = ("wiki.txt", "birth_dev.tsv", "birth_places_train.tsv")
EDITIONS = {"perceiver": ("perceiver",), "synthesizer": ("synthesizer",), "all": ("perceiver", "synthesizer")}
VANILLA_OUTPUTS = (
    "vanilla.model.params",
    "vanilla.nopretrain.dev.predictions",
    "vanilla.nopretrain.test.predictions",
    "vanilla.finetune.params",
    "vanilla.pretrain.dev.predictions",
    "vanilla.pretrain.test.predictions",
)


def outputs_of(variant: str) -> tuple[str, ...]:
    """The three outputs of a variant other than vanilla."""
    return f"{variant}.finetune.params", f"{variant}.pretrain.dev.predictions", f"{variant}.pretrain.test.predictions"


def find_edition() -> str:
    """The edition whose outputs lie here: the variant with more of them, the perceiver where that decides nothing."""
    return max(("perceiver", "synthesizer"), key=lambda variant: sum(Path(name).is_file() for name in outputs_of(variant)))


def main() -> int:
    """Check that all is there, then zip it. The exit code is 1 where something is missing."""
    parser = Parser(prog="collect_submission.sh", description="Make assignment5.zip of what lies in this folder.")
    parser.add_argument("--edition", choices=EDITIONS, help="whose outputs to hand in (default: found by what is there)")
    edition = parser.parse_args().edition or find_edition()

    names = [*DATA, *VANILLA_OUTPUTS, *(name for variant in EDITIONS[edition] for name in outputs_of(variant))]
    missing = [name for name in names if not Path(name).is_file()]
    if missing:
        print(
            f"Nothing collected. The {edition} edition lacks {len(missing)} of {len(names)} files:", *missing, sep="\n  ", file=sys.stderr
        )
        return 1
    announce_if_bundled("wiki.txt", file_sha256("wiki.txt"))
    code = sorted(path.as_posix() for path in Path("src").rglob("*.py"))
    write_zip("assignment5.zip", {name: Path(name) for name in code + names})
    size = Path("assignment5.zip").stat().st_size / 1e6
    print(f"assignment5.zip: the {edition} edition, {len(code) + len(names)} files, {size:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(run_reporting_errors(main))
