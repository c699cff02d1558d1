"""The benchmarks run, and the baselines that they compare with compute the same."""

import dataclasses
import json
import math
import shutil
import sys

import attention_cost
import corpus_scale
import evaluate_speed
import knowledge
import pytest
import torch
from torch import nn

import report

import train_speed
from attention import CausalCrossAttention
from console import UserError
from dataset import CharCorruptionDataset, encode, mix
from helpers import run_here
from model import GPT, GPTConfig, variant_flags
from plain import PlainTrainer, make_plain
from recipes import RECIPES, VARIANTS
from tables import read_pairs
from trainer import Trainer, TrainerConfig

FLAGS = {variant: variant_flags(variant, 8) for variant in VARIANTS}


@pytest.mark.parametrize("variant", FLAGS)
def test_the_plain_twin_computes_the_same(variant):
    torch.manual_seed(0)
    model = GPT(GPTConfig(9, 24, n_layer=3, n_head=2, n_embd=16, **FLAGS[variant])).double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    idx = torch.randint(0, 9, (4, 23))
    expected, loss = model(idx, idx)
    logits, plain_loss = make_plain(model)(idx, idx)
    assert {type(module) for module in model.modules() if isinstance(module, nn.Dropout)} == {nn.Dropout}  # PyTorch's own
    torch.testing.assert_close(logits, expected)
    torch.testing.assert_close(plain_loss, loss)


def test_the_plain_twin_trains_alike():
    """The random cuts of the same texts differ, so the losses are close but not equal."""
    corpus = CharCorruptionDataset("\n".join(f"Person {i} was born in town {i % 7}." for i in range(32)), 48)
    config = TrainerConfig(max_epochs=30, batch_size=8, learning_rate=2e-3, device="cpu")
    models = []
    for _ in range(2):
        torch.manual_seed(0)
        models.append(GPT(GPTConfig(corpus.vocab_size, 48, n_layer=2, n_head=2, n_embd=32)))
    trainer, twin = Trainer(models[0], corpus, None, config), PlainTrainer(models[1], corpus, config, torch.device("cpu"))
    trainer.train()
    losses = [loss for _ in range(30) for loss in twin.train()]
    assert losses[0] > 3 and trainer.loss < 2
    assert sum(losses[-10:]) / 10 == pytest.approx(trainer.loss, rel=0.25)


@pytest.mark.parametrize(
    ("benchmark", "arguments", "columns"),
    [
        (train_speed, ["--documents", "6", "--device", "cpu"], {"examples/s", "times as fast as the twin"}),
        (train_speed, ["--documents", "6", "--device", "cpu", "--variant", "perceiver"], {"s per epoch"}),
        (evaluate_speed, ["--questions", "2", "--epochs", "0", "--device", "cpu"], {"times as fast as one by one"}),
        (corpus_scale, ["--people", "10"], {"second start, s", "memory beside torch, MB", "speed against the first"}),
        (attention_cost, ["--lengths", "16", "--bottlenecks", "4", "8", "32", "--device", "cpu"], {"scores by theory", "project, MB"}),
    ],
)
def test_a_benchmark_prints_a_table_and_writes_json(benchmark, arguments, columns, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(corpus_scale, "STEPS", 1)
    monkeypatch.setattr(sys, "argv", ["benchmark", *arguments, "--rounds", "1", "--json", str(tmp_path / "out.json")])
    benchmark.main()
    content = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    printed = capsys.readouterr().out
    assert columns <= content["rows"][0].keys() and all(column in printed for column in columns)
    assert content["machine"] in printed and content["arguments"]["rounds"] == 1
    figures = [value for row in content["rows"] for value in row.values() if isinstance(value, float)]
    assert figures and all(value > 0 for value in figures)
    for column, seconds in (("times as fast as the twin", "s per epoch"), ("times as fast as one by one", "s")):
        for row in content["rows"] if column in content["rows"][0] else ():
            (twin,) = (row for row in content["rows"] if row[""] in ("plain twin", "one by one"))
            assert row[column] * row[seconds] == pytest.approx(twin[seconds])  # in the only round


def test_ratios_are_taken_within_rounds_and_rounds_in_turns():
    assert report.ratio([4.0, 6.0, 9.0], [1.0, 3.0, 3.0]) == 3.0  # the median of 4, 2 and 3
    order = []
    report.in_turns({name: lambda name=name: order.append(name) or 1.0 for name in "ab"}, 2)
    assert order == ["a", "b", "a", "b"]


def test_the_project_and_its_twin_train_the_same_epochs_in_every_round(monkeypatch):
    steps, epochs, step, epoch = [], [], Trainer.train_step, PlainTrainer.train
    monkeypatch.setattr(Trainer, "train_step", lambda *what: steps.append(1) or step(*what))
    monkeypatch.setattr(PlainTrainer, "train", lambda twin: epochs.append(1) or epoch(twin))
    monkeypatch.setattr(train_speed, "has_bf16", lambda _: False)
    line = "train_speed.py --documents 6 --epochs 2 --rounds 2 --device cpu --variant perceiver"
    monkeypatch.setattr(sys, "argv", line.split())
    train_speed.main()
    assert len(steps) == len(epochs) == 4  # six documents are one step


def test_decoding_that_answers_differently_from_one_by_one_is_not_timed(monkeypatch):
    monkeypatch.setattr(evaluate_speed, "plain_answers", lambda model, prompts, *_, end: [[end]] * len(prompts))
    typed = ["--questions", "2", "--epochs", "0", "--device", "cpu", "--rounds", "1"]
    code, out, errors = run_here(typed, main=evaluate_speed.main)
    assert code == 2 and "the answers differ: decoding is broken" in errors and "times as fast" not in out


def test_theory_counts_scores_and_the_plain_layers_keep_as_many():
    # by hand: four layers on 32 positions; two of 32 by 8 and two of 8 by 8
    assert (attention_cost.scores_by_theory(32, None), attention_cost.scores_by_theory(32, 8)) == (4096, 640)
    rows = {}
    for m in (None, 8):
        assert sum(isinstance(layer, CausalCrossAttention) for layer in attention_cost.Stack(32, m).modules()) == 4
        x = torch.randn(1, 32, 256, requires_grad=True)
        rows[m] = attention_cost.memory_kept(make_plain(attention_cost.Stack(32, m)), x)
    assert rows[None] > rows[8] > 0
    # more positions: besides what grows linearly with them, each layer keeps a matrix of weights for each of 8 heads
    longer = attention_cost.memory_kept(make_plain(attention_cost.Stack(512, None)), torch.randn(1, 512, 256, requires_grad=True))
    assert longer - 16 * rows[None] >= 0.9 * 4 * 8 * 4 * (512**2 - 16 * 32**2) / 1e6


def test_knowledge_holds_people_out_by_name():
    pairs = [(f"Where was P{i} born?", place) for i in range(30) for place in ("A", "B")[: 1 + i % 2]]
    trained, asked = knowledge.hold_out(pairs, 10)
    assert sorted(trained + asked) == sorted(pairs) and len({question for question, _ in asked}) == 10
    assert not {question for question, _ in asked} & {question for question, _ in trained}
    assert knowledge.hold_out(pairs[::-1], 10)[1] == asked[::-1]  # the same people, whatever the order


def test_knowledge_prices_an_answer_with_its_end():
    corpus = CharCorruptionDataset("Ann lives in Ulm.\nBea lives in Rome.", 40)
    model = GPT(GPTConfig(corpus.vocab_size, 40, n_layer=1, n_head=2, n_embd=16))
    torch.nn.init.zeros_(model.head.weight)  # all characters are equally likely
    right, nats = knowledge.examine(model, corpus, [("Ann", "Ulm"), ("Bea", "Rome"), ("Bea", "e")])
    assert right == [False] * 3 and nats == pytest.approx((4 + 5 + 2) / 3 * math.log(corpus.vocab_size))


class Parrot(torch.nn.Module):
    """Knows one text by heart: at each position, it predicts the character that follows there."""

    def __init__(self, corpus, text):
        super().__init__()
        self.next = torch.nn.Parameter(torch.nn.functional.one_hot(encode(text[1:], corpus.stoi), corpus.vocab_size).float())

    def get_block_size(self):
        return len(self.next)

    def forward(self, idx):
        return self.next[: idx.size(1)].expand(len(idx), -1, -1), None


def test_knowledge_tells_what_is_known_in_the_text():
    lines = ["Ann. Ann is from Ulm, near Ulm", "Bea. Bea is from Rome", "Bea. Rome was left by Bea", "Cy. Cy is from Oslo"]
    corpus = CharCorruptionDataset("\n".join(lines), 40)
    pairs = [(f"Where was {name} born?", place) for name, place in (("Ann", "Ulm"), ("Bea", "Rome"), ("Cy", "Ulm"), ("Di", "Oslo"))]
    assert knowledge.within_reach(pairs, corpus, 21) == [("Ann", lines[0], "Ulm"), ("Bea", lines[2], "Rome")]
    assert knowledge.within_reach(pairs, corpus, 19) == [("Bea", lines[2], "Rome")]  # Ulm ends with the twentieth character
    for known in (lines[0], lines[0].replace("Ulm", "Uly"), lines[0].replace("near Ulm", "near Rom")):
        texts, places = ["Ann. Ann is from ", "Ann. Ann is ", "Ann"], ["Ulm", "Ulm", ". Ann i"]  # of several lengths
        assert knowledge.go_on(Parrot(corpus, known), corpus, texts, places) == ["from Ulm" in known, False, True]
    assert knowledge.go_on(Parrot(corpus, lines[0]), corpus, [], []) == []


def test_knowledge_tells_a_line_in_other_words():
    line = "Ann J. Lee. Lee, whom friends called Ann J. Lee, was born 5 May 1950 in Ulm, not in Ulm on Lee"
    assert list(knowledge.retell(line, "Ulm", "Ann J. Lee", "Bo Ray").values()) == [
        "Bo Ray. Ray, whom friends called Bo Ray, was born 5 May 1950 in ",
        "Ann J. Lee. y 1950 in ",
        "Ann J. Lee. Born in ",
    ]
    assert knowledge.retell("Ann. Ulm", "Ulm", "Ann", "Bo")["title and ten characters"] == "Ann. "


def test_knowledge_counts_what_is_right_by_kind():
    assert knowledge.count_right(["never", "1 or 2", "never"], [True, False, False]) == {"never": [1, 2], "1 or 2": [0, 1]}
    assert [knowledge.how_often(n) for n in (0, 1, 2, 3, 9, 10)] == ["never", "1 or 2", "1 or 2", "3 to 9", "3 to 9", "10 or more"]


SMALL = dataclasses.replace(RECIPES["quick"], n_layer=2, n_embd=64)


def half_right(world):
    """In place of what a model answers: every other question rightly."""
    places = dict(read_pairs(world / "birth_places_train.tsv"))
    return lambda model, corpus, questions: ["" if number % 2 else places[question] for number, question in enumerate(questions)]


def test_knowledge_measures_each_change_once(world, tmp_path, monkeypatch, capsys):
    line = ["--recipe", "quick", "--data", str(world), "--held_out", "7", "--results", str(tmp_path / "kept.jsonl")]
    changes = ["--change", "", "--change", "pretrain_epochs=2,muon_lr=None", "--mixed", "100", "0"]
    monkeypatch.setitem(RECIPES, "quick", dataclasses.replace(SMALL, pretrain_epochs=1))
    monkeypatch.setattr(knowledge, "answer_questions", half_right(world))
    monkeypatch.setattr(sys, "argv", ["knowledge.py", *line, *changes])
    knowledge.main()
    printed = capsys.readouterr().out
    kept = (tmp_path / "kept.jsonl").read_text(encoding="utf-8")
    results = [json.loads(row) for row in kept.splitlines()]
    changed = [(r["key"]["recipe"]["pretrain_epochs"], r["key"]["recipe"]["muon_lr"]) for r in results]
    assert changed == [(1, 0.02)] * 2 + [(2, None)] * 2
    assert [(r["key"]["mixed"], r["key"]["seed"]) for r in results] == [(100, 0), (0, 0)] * 2
    for r in results:
        assert sum(asked for _, asked in r["by reach"].values()) == r["asked"] == 7
        assert sum(asked for _, asked in r["by times taught"].values()) == 7
        assert 0 <= r["read on"][0] <= r["read on"][1] == r["by reach"]["within reach"][1]
        assert len(r["retold"]) == 3 and all(0 <= count <= r["read on"][1] for count in r["retold"].values())
        assert r["right"] == r["right after pretraining"] == r["curve"][-1]["right"] == 4 / 7
        assert sum(right for right, _ in r["by reach"].values()) == sum(right for right, _ in r["by times taught"].values()) == 4
        assert [point["epoch"] for point in r["curve"]] == list(range(1, r["key"]["recipe"]["pretrain_epochs"] + 1))
    to_files = ["--plot", str(tmp_path / "curves.svg"), "--json", str(tmp_path / "table.json")]
    monkeypatch.setattr(sys, "argv", ["knowledge.py", *line, *changes, *to_files])
    knowledge.main()  # nothing is run again
    assert (tmp_path / "kept.jsonl").read_text(encoding="utf-8") == kept
    assert capsys.readouterr().out == printed and "pretrain_epochs=2,muon_lr=None, 0% mixed in" in printed
    assert len(json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))["rows"]) == 4
    curves = (tmp_path / "curves.svg").read_text(encoding="utf-8")
    assert all(text in curves for text in ("nats per answer", "pretrain_epochs=2,muon_lr=None, 0% mixed in"))
    others = kept.replace(results[0]["key"]["code"], "another version's")
    (tmp_path / "kept.jsonl").write_text(others, encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["knowledge.py", *line])
    knowledge.main()  # everything is run again
    assert (tmp_path / "kept.jsonl").read_text(encoding="utf-8").removeprefix(others).count("\n") == 1


def test_knowledge_goes_on_where_it_was_stopped(world, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(RECIPES, "quick", dataclasses.replace(SMALL, pretrain_epochs=3))
    examine, looks = knowledge.examine, []

    def run(results, allowed=5):
        """Measure, but interrupt at the first look at the model beyond `allowed`."""
        looks.clear()

        def look(*what):
            if len(looks) == allowed:
                raise KeyboardInterrupt
            looks.append(what)
            return examine(*what)

        monkeypatch.setattr(knowledge, "examine", look)
        monkeypatch.setattr(sys, "argv", ["k", "--recipe", "quick", "--data", str(world), "--held_out", "7", "--results", str(results)])
        knowledge.main()
        return json.loads(results.read_text(encoding="utf-8")) | {"s": 0}

    whole = run(tmp_path / "whole.jsonl")
    assert len(looks) == 5  # after each of three epochs, after the epoch of finetuning, and at the end
    assert "Resuming after step" not in capsys.readouterr().out
    monkeypatch.setattr(knowledge, "CHECKPOINT_MINUTES", 0)  # a checkpoint after each step
    for allowed in (2, 1):  # it is stopped at the end of pretraining, and of finetuning
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "stopped.jsonl", allowed)
    assert run(tmp_path / "stopped.jsonl") == whole
    assert len(looks) == 2 and capsys.readouterr().out.count("Resuming after step") == 3
    assert {path.name for path in tmp_path.iterdir()} == {"stopped.jsonl", "whole.jsonl"}


@pytest.mark.parametrize(
    ("flag", "path", "message"),
    [
        *((flag, "none/x.svg", "can't write .*x.svg") for flag in ("--results", "--json", "--plot")),
        *((flag, "folder.svg", "can't write .*folder.svg") for flag in ("--results", "--json", "--plot")),
        ("--plot", "x.foo", r"its name must end in .svg or .png"),
    ],
)
def test_knowledge_says_before_it_begins_what_cant_be_written(world, tmp_path, monkeypatch, flag, path, message):
    (tmp_path / "folder.svg").mkdir()
    monkeypatch.setattr(sys, "argv", ["knowledge.py", "--data", str(world), "--held_out", "7", flag, str(tmp_path / path)])
    monkeypatch.setattr(knowledge, "run", None)
    with pytest.raises(UserError, match=message):
        knowledge.main()


def test_knowledge_says_before_it_begins_that_a_later_change_cant_be(world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["knowledge.py", "--data", str(world), "--held_out", "7", "--change", "", "--change", "epochs=3"])
    monkeypatch.setattr(knowledge, "run", None)
    with pytest.raises(UserError, match="a recipe has no 'epochs'"):
        knowledge.main()


def test_knowledge_leaves_nothing_of_what_cant_be_run(world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["knowledge.py", "--data", str(world), "--held_out", "1000"])
    with pytest.raises(UserError, match="leaves nobody of 41 people to train on"):
        knowledge.main()
    assert list(tmp_path.iterdir()) == []


def test_knowledge_runs_nothing_twice(world, tmp_path, monkeypatch, capsys):
    """Two ways of naming the same recipe, and a seed named twice."""
    ran = []
    result = dict.fromkeys(("right after pretraining", "right", "nats", "loss", "s", "asked"), 0)
    result |= {"curve": [], "kept": None, "read on": [0, 0], "by reach": {}}
    monkeypatch.setattr(knowledge, "run", lambda *what: ran.append(what) or what[-1].mkdir() or result)
    monkeypatch.chdir(tmp_path)
    line = ["--recipe", "quick", "--data", str(world), "--held_out", "7", "--seeds", "1", "2", "1"]
    monkeypatch.setattr(sys, "argv", ["knowledge.py", *line, "--change", "", "--change", "length_draws=4"])
    knowledge.main()
    kept = (tmp_path / "knowledge.jsonl").read_text(encoding="utf-8").splitlines()
    assert [seed for _, _, seed, *_ in ran] == [json.loads(row)["key"]["seed"] for row in kept] == [1, 2]
    assert "seeds [1, 2]\n" in capsys.readouterr().out


def test_knowledge_takes_no_run_for_another(world, tmp_path, monkeypatch):
    ran, result = [], dict.fromkeys(("right after pretraining", "right", "nats", "loss", "s", "asked"), 0)
    result |= {"curve": [], "kept": None, "read on": [0, 0], "by reach": {}}
    monkeypatch.setattr(knowledge, "run", lambda *what: ran.append(what) or what[-1].mkdir() or result)
    shutil.copytree(world, tmp_path / "other")
    with (tmp_path / "other/birth_dev.tsv").open("a", encoding="utf-8") as file:
        file.write("Where was A born?\tLima\n")
    line = ["knowledge.py", "--recipe", "quick", "--data", str(world), "--held_out", "7", "--results", str(tmp_path / "kept.jsonl")]
    perceiver = ["--variant", "perceiver"]
    others = [["--held_out", "8"], ["--dev"], ["--variant", "rope"], ["--data", str(tmp_path / "other")]]
    others += [perceiver, [*perceiver, "--bottleneck_dim", "9"]]
    for n, more in enumerate([[], *others, [], *others], start=1):
        monkeypatch.setattr(sys, "argv", [*line, *more])
        knowledge.main()
        assert len(ran) == min(n, 1 + len(others))


def test_knowledge_shows_means_and_the_spread_of_a_sample():
    def result(right, reads, within, seconds):
        return {"right": right, "right after pretraining": right / 2, "nats": 2.0, "loss": 1.0, "s": seconds} | {
            "asked": 8,
            "kept": 6,
            "read on": reads,
            "by reach": {"within reach": within},
        }

    row = knowledge.row("x", [result(0.5, [1, 4], [3, 4], 60), result(0.7, [2, 4], [1, 2], 180)])
    assert (row["right, %"], row["spread"], row["before finetuning, %"]) == pytest.approx((60, 200**0.5, 30))
    assert (row["reads on, %"], row["within reach, %"], row["min"]) == pytest.approx((37.5, 200 / 3, 2))
    assert (row["beyond, %"], row["kept by cuts, %"]) == ("-", 75)


def test_knowledge_counts_what_the_cuts_keep_of_a_persons_first_line():
    lines = ["Ann Lee. Born in Ulm, Baden, Ann left.", "Bo Far. A baker from Rome.", "Bo Far. Another one, from Lima.", "Cy Om. Nothing."]
    lines += [f"Di Em. Born in Ulm, Baden, in {1900 + n}." for n in range(5)]  # where answers stand is learnt from more than three
    corpus = CharCorruptionDataset("\n".join([*lines, "Where was born?"]), 128, salient_share=0.4)
    mix(corpus, "Where was Ann Lee born?\tUlm\n")
    rows = ("Ann Lee", "Ulm"), ("Ann Lee", "Baden"), ("Bo Far", "Rome"), ("Bo Far", "Lima"), ("Cy Om", "Ulm"), ("Di Nowhere", "Ulm")
    assert knowledge.count_kept([(f"Where was {person} born?", place) for person, place in rows], corpus) == 2  # Ulm and Rome


@pytest.mark.parametrize(
    ("flags", "held_out", "mixed", "said"),
    [("--dev", 0, 100, "(dev)"), ("--dev --mixed 50", 0, 50, "(dev)"), ("--held_out 7", 7, 100, "(held out from train)")],
)
def test_knowledge_trains_on_all_for_dev_and_else_on_none_that_it_asks(world, tmp_path, monkeypatch, capsys, flags, held_out, mixed, said):
    read, asked, point = [], [], {"epoch": 1, "loss": 0.0, "right": 0.0, "nats": 0.0}
    monkeypatch.setattr(knowledge, "train_watched", lambda model, dataset, *_: read.append(dataset) or ([point], 0.0))
    monkeypatch.setattr(knowledge, "examine", lambda model, corpus, pairs: asked.append(pairs) or ([False] * len(pairs), 0.0))
    line = ["--recipe", "quick", "--data", str(world), *flags.split(), "--results", str(tmp_path / "r.jsonl")]
    monkeypatch.setattr(sys, "argv", ["knowledge.py", *line])
    knowledge.main()
    n = len(read_pairs(world / "birth_places_train.tsv")) - held_out
    # the text's lines, the empty one at its end, and the questions; then the questions alone
    assert list(map(len, read)) == [61 + n * mixed // 100, n]
    if held_out:
        assert len(asked[0]) == held_out and not {question for question, _ in asked[0]} & {row.split("\t")[0] for row in read[1].data}
    else:
        assert asked == [read_pairs(world / "birth_dev.tsv")]
    assert said in capsys.readouterr().out


def test_knowledge_draws_the_mean_of_seeds_by_epoch(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(knowledge, "save_figure", lambda figure, path: seen.append(figure))
    curves = [[{"epoch": e, "loss": 1.0, "right": right / e, "nats": e * nats} for e in (2, 4)] for right, nats in ((0.8, 1.0), (0.4, 2.0))]
    knowledge.draw({"two seeds": curves}, report.pyplot_for_files(), tmp_path / "curves.svg")
    right, nats = (axis.get_lines()[0].get_xydata().tolist() for axis in seen[0].axes)
    assert right == [[2, pytest.approx(30)], [4, pytest.approx(15)]]  # percent
    assert nats == [[2, pytest.approx(3)], [4, pytest.approx(6)]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("epochs=3", "a recipe has no 'epochs'"),
        ("finetune_lr=1e-4", "--change finetune_lr: .* change finetune_lr_pretrained"),  # it would change nothing
        *((wrong, "with plain values") for wrong in ("muon_lr=fast", "muon_lr", "offset=1)")),
        ("pretrain_epochs=1.5", "--change pretrain_epochs=1.5: it must be like 650, 150, 75"),
        *((wrong, "it must be like") for wrong in ("dropout='x'", "mixes_questions=1", "offset=None", "length_draws=True", "betas=.9")),
    ],
)
def test_knowledge_refuses_what_no_recipe_has(change, message):
    with pytest.raises(UserError, match=message):
        knowledge.parse_change(change, RECIPES["quick"])


def test_knowledge_changes_several_fields_at_once():
    changed = knowledge.parse_change("betas=(0.8,0.9),muon_lr=None,offset=3", RECIPES["quick"])
    assert changed == dataclasses.replace(RECIPES["quick"], betas=(0.8, 0.9), muon_lr=None, offset=3)
    assert knowledge.parse_change("", RECIPES["quick"]) == RECIPES["quick"]
    assert knowledge.parse_change("dropout=0,decay_epochs=None", RECIPES["handout"]).decay_epochs is None


@pytest.mark.parametrize("line", ['{"key": ', "5", '{"question": "Where was Ann Lee born?"}'])
def test_knowledge_names_a_line_of_its_results_that_is_none(tmp_path, line):
    (tmp_path / "kept.jsonl").write_text('{"key": 1}\n' + line, encoding="utf-8")
    with pytest.raises(UserError, match=r"kept\.jsonl, line 2: not a result"):
        knowledge.read_results(tmp_path / "kept.jsonl")
