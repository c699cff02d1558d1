"""What the handouts ask for: the commands in order, and the files to hand in; for `rope`, whose handout was not at hand, by analogy."""

from collections.abc import Iterator
from pathlib import Path

from recipes import VARIANTS

TEXT, TRAIN, DEV, TEST = "wiki.txt", "birth_places_train.tsv", "birth_dev.tsv", "birth_test_inputs.tsv"
EDITION_VARIANTS = ("perceiver", "synthesizer", "rope")  # an edition asks for one besides vanilla; `all` has all three
EDITIONS = {variant: (variant,) for variant in EDITION_VARIANTS} | {"all": EDITION_VARIANTS}
PARTS = {  # what is handed in for each: parameters, and their answers to the dev and test questions
    "nopretrain": ("vanilla.model.params", "vanilla.nopretrain.dev.predictions", "vanilla.nopretrain.test.predictions"),
    **{
        variant: (f"{variant}.finetune.params", f"{variant}.pretrain.dev.predictions", f"{variant}.pretrain.test.predictions")
        for variant in VARIANTS
    },
}
# minimum accuracies on dev and test; rope's are not known here
ASKED_FOR = {"vanilla": (0.10, 0.10), "perceiver": (0.06, 0.05), "synthesizer": (None, 0.05)}
ROUNDING = 1  # how many questions, asked again, may be answered differently: another machine rounds differently


def parts_of(edition: str) -> tuple[str, ...]:
    """What is handed in for an edition."""
    return "nopretrain", "vanilla", *EDITIONS[edition]


def variant_of(part: str) -> str:
    """The variant of the model that is handed in as that part."""
    return "vanilla" if part == "nopretrain" else part


def find_edition(folder: Path) -> str:
    """The edition whose outputs are in the folder: that of the variant with most of them; in a tie, the first."""
    return max(EDITION_VARIANTS, key=lambda variant: sum((folder / name).is_file() for name in PARTS[variant]))


def commands(edition: str) -> Iterator[str]:
    """The commands of an edition as its handout gives them, up to the zip."""
    yield "src/dataset.py namedata"
    yield "src/dataset.py charcorruption"
    yield "london_baseline.py"
    for part in parts_of(edition):
        variant = variant_of(part)
        model = f"{variant} {TEXT}" + (" --bottleneck_dim 64" if variant == "perceiver" else "")
        params, *predictions = PARTS[part]
        start = ""
        if part != "nopretrain":
            rate = " --pretrain_lr 6e-3" if variant == "perceiver" else ""
            yield f"src/run.py pretrain {model}{rate} --writing_params_path {variant}.pretrain.params"
            start = f" --reading_params_path {variant}.pretrain.params"
        yield f"src/run.py finetune {model}{start} --writing_params_path {params} --finetune_corpus_path {TRAIN}"
        for questions, output in zip((DEV, TEST), predictions, strict=True):
            yield f"src/run.py evaluate {model} --reading_params_path {params} --eval_corpus_path {questions} --outputs_path {output}"
