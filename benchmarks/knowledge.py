"""How much of what it has read a model can tell, and what each ingredient of a recipe contributes.

    python benchmarks/knowledge.py --recipe laptop --change "" --change length_draws=1 --change muon_lr=None
    python benchmarks/knowledge.py --recipe laptop --data FOLDER --dev --seeds 0 1 2

A run pretrains on a folder's `wiki.txt`, with its training questions mixed in if the recipe is made for that, finetunes
on these questions, and asks about other people. For choosing between recipes, these are 200 people held out from the
*training* questions, the same for every run; `--dev` trains on all training questions and asks `birth_dev.tsv`: for the
final table, not for choosing. Each `--change` is a run with these fields of the recipe changed (none: the recipe as it is),
each `--mixed` one with this percentage of the training questions in pretraining. Finetuning uses all of them and, with none
in pretraining, has much to learn: then change `finetune_epochs_pretrained` and `finetune_lr_pretrained` too. Runs take long:
each is added to `--results` when it ends, and those already there, by the same code, are not run again. A stopped run
resumes when the same command is typed again, losing at most its last five minutes.
"""

import ast
import json
import random
import shutil
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from report import ROOT, figure_file, finish, machine, output_file, parser_of, pyplot_for_files, save_figure

from acceleration import pick_device
from console import UserError, blaming, number, run_reporting_errors
from dataset import CharCorruptionDataset, NameDataset, mix
from files import read_text, sha256
from mentions import REACHES, found_in, lines_about, look_up, offset_in, person_of, reach_of
from model import GPT
from questions import answer_questions
from recall import score_predictions
from recipes import RECIPES, VARIANTS, Recipe
from resume import Checkpoints
from stages import make_model, read_corpus, trainer_config
from tables import are_right, read_pairs
from trainer import Trainer, TrainerConfig

Pair = tuple[str, str]  # a question and its place
Curve = list[dict[str, float]]  # what was measured during training: epoch, loss, right, nats
CHECKPOINT_MINUTES = 5


def hold_out(pairs: Sequence[Pair], n_people: int) -> tuple[list[Pair], list[Pair]]:
    """Split by question, keeping a person's rows together: the pairs to train on, and those of `n_people` to ask about."""
    questions = sorted({question for question, _ in pairs})
    if n_people >= len(questions):
        raise UserError(f"--held_out {n_people} leaves nobody of {len(questions)} people to train on")
    held_out = set(random.Random(1).sample(questions, n_people))
    return [pair for pair in pairs if pair[0] not in held_out], [pair for pair in pairs if pair[0] in held_out]


def examine(model: GPT, corpus: CharCorruptionDataset, pairs: Sequence[Pair]) -> tuple[list[bool], float]:
    """Which questions the model answers with the place; and the mean negative log-probability of the place and its end, in nats."""
    questions, places = zip(*pairs, strict=True)
    right = are_right(answer_questions(model, corpus, questions), places)
    scores = score_predictions(model, corpus, questions, places, n_others=0)
    return right, -mean(log_probability for log_probability, *_ in scores)


@torch.no_grad()
def go_on(model: GPT, corpus: CharCorruptionDataset, texts: Sequence[str], places: Sequence[str]) -> list[bool]:
    """Whether the model, reading each text at its positions in pretraining, continues it with the place, letter by letter."""
    if not texts:
        return []
    model.eval()
    device = next(model.parameters()).device
    rows = [corpus.encode_at_offset(text + place)[-model.get_block_size() :] for text, place in zip(texts, places, strict=True)]
    idx = nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)  # (B, T)
    agrees = (model(idx[:, :-1])[0].argmax(dim=-1) == idx[:, 1:]).tolist()  # (B, T - 1)
    return [all(agrees[row][len(rows[row]) - 1 - len(place) : len(rows[row]) - 1]) for row, place in enumerate(places)]


def retell(line: str, place: str, person: str, other: str) -> dict[str, str]:
    """Other texts that lead up to the place: the person's line with another's name in it, or the name with little else."""
    before = line[: found_in(line, place)]
    exchanged = before.replace(person, other).replace(person.split()[-1], other.split()[-1])
    return {
        "the line under another's name": exchanged,
        "title and ten characters": f"{person}. {before.removeprefix(f'{person}. ')[-10:]}",
        "title and 'Born in'": f"{person}. Born in ",
    }


def train_watched(
    model: GPT, dataset: Dataset, config: TrainerConfig, corpus: CharCorruptionDataset, pairs: Sequence[Pair], checkpoints: Checkpoints
) -> tuple[Curve, float]:
    """Train from the last checkpoint on, asking the questions some ten times. Returns what that showed, and the seconds of training."""
    trainer = Trainer(model, dataset, None, config)
    curve: Curve = []
    if state := checkpoints.load():
        trainer.restore(state)
        curve = state["curve"]
        print(f"Resuming after step {trainer.step}.")

    def look(epoch: int) -> None:
        if epoch % max(1, config.max_epochs // 10) == 0 or epoch == config.max_epochs:
            trainer.read_losses()  # otherwise read only now and then
            right, nats = examine(model, corpus, pairs)
            curve.append({"epoch": epoch, "loss": trainer.loss, "right": mean(right), "nats": nats})

    def save() -> None:
        if checkpoints.due():
            checkpoints.save(trainer.state() | {"curve": curve})

    trainer.train(save, look)
    return curve, trainer.seconds


def run(recipe: Recipe, mixed: int, seed: int, args: Namespace, folder: Path) -> dict[str, Any]:
    """Pretrain, finetune and ask, with checkpoints in a folder of this run's own. Returns the results."""
    corpus = read_corpus(args.data / "wiki.txt", args.variant, recipe)
    pairs = read_pairs(args.data / "birth_places_train.tsv")
    trained, asked = (pairs, read_pairs(args.data / "birth_dev.tsv")) if args.dev else hold_out(pairs, args.held_out)
    rows = ["\t".join(pair) for pair in trained]
    mixed_in = rows[: len(rows) * mixed // 100]
    texts = mix(corpus, "\n".join(mixed_in)) if mixed_in else corpus
    torch.manual_seed(seed)
    command = {"variant": args.variant, "bottleneck_dim": args.bottleneck_dim, "seed": seed, "device": args.device, "plain": False}
    model = make_model(Namespace(**command), recipe, corpus).to(pick_device(args.device))
    with blaming("what is asked"):
        NameDataset(corpus, "\n".join("\t".join(pair) for pair in asked))  # reports now, not after an hour, what can't be asked

    def train(function: str, dataset: Dataset) -> tuple[Curve, float]:
        typed = Namespace(**command, function=function, reading_params_path="what was pretrained")
        config = trainer_config(typed, recipe, len(dataset), len(corpus))
        return train_watched(model, dataset, config, corpus, asked, Checkpoints(folder / function, {}, CHECKPOINT_MINUTES))

    folder.mkdir(exist_ok=True)
    questions = NameDataset(corpus, "\n".join(rows))
    curve, pretraining = train("pretrain", texts)
    told = within_reach(asked, corpus, corpus.longest)
    read_on = go_on(model, corpus, [line[: found_in(line, place)] for _, line, place in told], [place for *_, place in told])
    retold = count_retold(model, corpus, told)
    _, finetuning = train("finetune", questions)
    right, nats = examine(model, corpus, asked)
    reaches = [mention.reach for mention in look_up(*zip(*asked, strict=True), corpus.data, corpus.longest)]
    taught = Counter(place for _, place in trained)
    times_taught = [
        how_often(taught[place]) if reach == "within reach" else reach for (_, place), reach in zip(asked, reaches, strict=True)
    ]
    return {
        "curve": curve,
        "kept": count_kept(asked, corpus) if recipe.salient_share and mixed_in else None,
        "right after pretraining": curve[-1]["right"],
        "right": mean(right),
        "nats": nats,
        "read on": [sum(read_on), len(read_on)],
        "retold": retold,
        "asked": len(asked),
        "by reach": {reach: [0, 0] for reach in REACHES} | count_right(reaches, right),
        "by times taught": count_right(times_taught, right),
        "loss": curve[-1]["loss"],
        "s": pretraining + finetuning,
    }


def how_often(times: int) -> str:
    """How often a place is the answer to a training question."""
    return next((name for limit, name in ((1, "never"), (3, "1 or 2"), (10, "3 to 9")) if times < limit), "10 or more")


def count_right(kinds: Sequence[str], right: Sequence[bool]) -> dict[str, list[int]]:
    """For each kind of question: how many are right, and how many there are."""
    counts: dict[str, list[int]] = {}
    for kind, is_right in zip(kinds, right, strict=True):
        n_right, n = counts.get(kind, (0, 0))
        counts[kind] = [n_right + is_right, n + 1]
    return counts


def within_reach(pairs: Sequence[Pair], corpus: CharCorruptionDataset, shown: int) -> list[tuple[str, str, str]]:
    """Person, line and place for each question whose place stands within the first `shown` characters of the person's line."""
    people = [person_of(question) or "" for question, _ in pairs]
    lines, _ = lines_about(people, corpus.data)
    found = []
    for person, (_, place) in zip(people, pairs, strict=True):
        offset = offset_in(lines.get(person, []), place)
        if reach_of(place, offset, True, shown) == "within reach":
            found.append((person, next(line for line in lines[person] if found_in(line, place) == offset), place))
    return found


def count_kept(pairs: Sequence[Pair], corpus: CharCorruptionDataset) -> int:
    """To how many questions the one name that salient cuts keep of the person's line is the answer: right without any model."""
    people = [person_of(question) for question, _ in pairs]
    lines, _ = lines_about(filter(None, people), corpus.data)
    kept = [[name.text for line in lines.get(person, [])[:1] for name in corpus.names.of(line)] for person in people]
    return sum(names == [place] for names, (_, place) in zip(kept, pairs, strict=True))


def count_retold(model: GPT, corpus: CharCorruptionDataset, told: Sequence[tuple[str, str, str]]) -> dict[str, int]:
    """For each kind of text from `retell`, after how many the model continues with the place."""
    others = [person for person, *_ in (*told[1:], *told[:1])]
    texts = [retell(line, place, person, other) for (person, line, place), other in zip(told, others, strict=True)]
    places = [place for *_, place in told]
    return {way: sum(go_on(model, corpus, [text[way] for text in texts], places)) for way in (texts[0] if texts else ())}


def parse_change(text: str, recipe: Recipe) -> Recipe:
    """The recipe with fields changed: `a=1,b=None`."""
    names = {field.name for field in fields(Recipe)}
    try:
        call = ast.parse(f"dict({text})", mode="eval").body
        if call.args:
            raise ValueError
        changes = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (ValueError, SyntaxError, AttributeError):
        raise UserError(f"--change {text}: give FIELD=VALUE[,...], with plain values") from None
    for name, value in changes.items():
        if name not in names:
            raise UserError(f"a recipe has no {name!r}: it has {', '.join(sorted(names))}")
        if name in ("finetune_epochs", "finetune_lr"):
            raise UserError(f"--change {name}: that is for finetuning without pretraining; change {name}_pretrained")
        known = dict.fromkeys(getattr(other, name) for other in RECIPES.values())
        kinds = set(map(type, known))
        if type(value) not in kinds and not (type(value) is int and float in kinds):
            raise UserError(f"--change {name}={value!r}: it must be like {', '.join(map(repr, known))}")
    return replace(recipe, **changes)


def read_results(path: Path) -> list[dict[str, Any]]:
    """The runs that were kept. Raises UserError, naming the line, for anything else, as left by a run killed while writing."""
    results = []
    for at, line in enumerate(read_text(path, may_be_blank=True).splitlines(), start=1):
        try:
            result = json.loads(line)
        except ValueError:
            result = None
        if not isinstance(result, dict) or "key" not in result:
            raise UserError(f"{path}, line {at}: not a result: delete the line, or name another file")
        results.append(result)
    return results


def main() -> None:
    """Make the runs that are still missing, and print all of them."""
    parser = parser_of("Measure how much a model can tell of what it read.", in_rounds=False)
    parser.add_argument("--recipe", choices=RECIPES, default="laptop")
    parser.add_argument("--variant", choices=VARIANTS, default="vanilla")
    parser.add_argument("--bottleneck_dim", type=number(int, 1), default=64)
    parser.add_argument("--data", type=Path, default=ROOT, help="a folder with wiki.txt and the tables (default: the project's)")
    parser.add_argument("--change", action="append", default=[], metavar="FIELD=VALUE[,...]", help="one more run, with these changes")
    parser.add_argument(
        "--mixed", type=number(int, 0, 101), nargs="+", metavar="PERCENT", help="of the training questions (default: by the recipe)"
    )
    parser.add_argument("--seeds", type=number(int, 0), nargs="+", default=[0])
    parser.add_argument("--held_out", type=number(int, 1), default=200, help="people not trained on but asked about (default 200)")
    parser.add_argument("--dev", action="store_true", help="train on all, and ask birth_dev.tsv")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--results", type=output_file, default="knowledge.jsonl", help="where runs are kept (default knowledge.jsonl)")
    parser.add_argument("--plot", type=figure_file, metavar="FILE", help="draw the curves of pretraining here, as SVG or PNG by its ending")
    args = parser.parse_args()
    device = pick_device(args.device)
    pyplot = args.plot and pyplot_for_files()

    files = {name: sha256(read_text(args.data / name))[:12] for name in ("wiki.txt", "birth_places_train.tsv", "birth_dev.tsv")}
    modules = [Path(__file__), *sorted((ROOT / "src").glob("*.py"))]
    code = sha256("".join(path.read_text(encoding="utf-8") for path in modules))[:12]
    recipes = {change: parse_change(change, RECIPES[args.recipe]) for change in args.change or [""]}
    seeds = list(dict.fromkeys(args.seeds))
    kept = read_results(args.results) if args.results.exists() else []
    rows, curves, elsewhere = [], {}, set()
    for (change, recipe), share in product(recipes.items(), args.mixed or [None]):
        mixed = 100 * recipe.mixes_questions if share is None else share
        found = []
        for seed in seeds:
            key = {
                "recipe": json.loads(json.dumps(asdict(recipe))),
                "mixed": mixed,
                "variant": args.variant,
                "bottleneck_dim": args.bottleneck_dim if args.variant == "perceiver" else None,
                "files": files,
                "code": code,
                "held_out": None if args.dev else args.held_out,
                "seed": seed,
                "device": device.type,
            }
            result = next((r for r in kept if r["key"] == key), None)
            if result is None:
                unfinished = Path(f"{args.results}.{sha256(json.dumps(key))[:12]}")
                result = {"key": key, "machine": machine(device), **run(recipe, mixed, seed, args, unfinished)}
                with args.results.open("a", encoding="utf-8", newline="\n") as file:
                    file.write(json.dumps(result) + "\n")
                shutil.rmtree(unfinished)
                kept.append(result)
            found.append(result)
        elsewhere |= {result["machine"] for result in found} - {machine(device)}
        name = f"{change or args.recipe}{f', {mixed}% mixed in' * (mixed < 100)}"
        rows.append(row(name, found))
        curves[name] = [result["curve"] for result in found]
    print(f"{args.variant}, {found[0]['asked']} questions ({'dev' if args.dev else 'held out from train'}), seeds {seeds}")
    finish(args, rows, device)
    if elsewhere:
        print(f"Some of these runs were made earlier, on {'; '.join(sorted(elsewhere))}.")
    if args.plot:
        draw(curves, pyplot, args.plot)


def draw(curves: Mapping[str, Sequence[Curve]], pyplot: ModuleType, path: Path) -> None:
    """How well the questions asked are answered during pretraining: means over seeds, by epoch."""
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
    for name, of_seeds in curves.items():
        epochs, right, nats = (
            [mean(points) for points in zip(*([point[what] for point in curve] for curve in of_seeds), strict=True)]
            for what in ("epoch", "right", "nats")
        )
        axes[0].plot(epochs, [100 * share for share in right], ".-", label=name)
        axes[1].plot(epochs, nats, ".-")
    axes[0].set(xlabel="epoch of pretraining", ylabel="right, %")
    axes[1].set(xlabel="epoch of pretraining", ylabel="nats per answer")
    for axis in axes:
        axis.grid(alpha=0.3)
    axes[0].legend(loc="upper left")  # where the curves have not risen yet
    save_figure(figure, path)


def row(name: str, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A line of the table: the mean over seeds, in percent."""
    shares = [100 * result["right"] for result in results]
    by_reach = {}
    for what in REACHES:
        right, asked = (sum(result["by reach"].get(what, (0, 0))[i] for result in results) for i in (0, 1))
        by_reach[f"{what}, %"] = 100 * right / asked if asked else "-"
    return {
        "": name,
        "right, %": mean(shares),
        "spread": stdev(shares) if len(shares) > 1 else "-",
        "before finetuning, %": mean(100 * result["right after pretraining"] for result in results),
        "nats": mean(result["nats"] for result in results),
        "kept by cuts, %": 100 * results[0]["kept"] / results[0]["asked"] if results[0]["kept"] is not None else "-",
        "reads on, %": 100 * sum(result["read on"][0] for result in results) / max(1, sum(result["read on"][1] for result in results)),
        **by_reach,
        "loss": mean(result["loss"] for result in results),
        "min": mean(result["s"] for result in results) / 60,
    }


if __name__ == "__main__":
    sys.exit(run_reporting_errors(main))
