"""The commands, as a user types them."""

import ast
import errno
import json
import os
import re
import shutil
import subprocess
import sys
import tracemalloc
import zipfile
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
import torch

import cards
import processes
import reproduce
import run
import stages
from cards import card_path, read_card, recipe_of, write_card
from checkpoint import load_model, load_params, save_params
from console import Output, UserError, run_reporting_errors
from dataset import CharCorruptionDataset, NameDataset, encode
from files import file_sha256
from helpers import Evil, run_here, sharpened
from model import GPT, GPTConfig
from recall import read_records
from recipes import RECIPES, choose_recipe
from resume import Checkpoints
from trainer import make_optimizers
from utils import sample

ROOT = Path(__file__).parents[1]
QUICK = ["--recipe", "quick", "--max_epochs", "1"]


def pretrain(variant="vanilla", out="pre.params", *more):
    line = f"pretrain {variant} wiki.txt --writing_params_path {out}"
    code, _, err = run_here(line, *QUICK, *more)
    assert code == 0, err


def untrained(corpus, recipe="quick"):
    """A model of that recipe's size, freshly initialised."""
    return stages.make_model(Namespace(variant="vanilla", bottleneck_dim=32), RECIPES[recipe], corpus)


# ---------------------------------------------------------------- the main job


@pytest.mark.parametrize(("variant", "flags"), [("vanilla", ""), ("perceiver", "--bottleneck_dim 64"), ("synthesizer", ""), ("rope", "")])
def test_the_handouts_commands_in_their_order(folder, variant, flags):
    v, quick = variant, [*flags.split(), "--max_epochs", "1"]
    code, out, err = run_here(f"pretrain {v} wiki.txt --writing_params_path {v}.pretrain.params --pretrain_lr 6e-4", *quick)
    assert code == 0, err
    text = Path("wiki.txt").read_text(encoding="utf-8")
    assert f"data has {len(text)} characters, {len(set(text)) + 2} unique." in out
    n_parameters = {"vanilla": 3_323_392, "perceiver": 3_339_776, "synthesizer": 3_076_988, "rope": 3_290_624}[v] - 2 * 256 * (
        254 - len(set(text))
    )
    assert f"number of parameters: {n_parameters}" in out
    assert re.search(r"^device: (cpu|cuda:\d+)$", out, flags=re.MULTILINE)

    tail = f"--writing_params_path {v}.finetune.params --finetune_corpus_path birth_places_train.tsv"
    code, _, err = run_here(f"finetune {v} wiki.txt --reading_params_path {v}.pretrain.params {tail}", *quick)
    assert code == 0, err

    reading = f"evaluate {v} wiki.txt --reading_params_path {v}.finetune.params"
    code, out, err = run_here(f"{reading} --eval_corpus_path birth_dev.tsv --outputs_path {v}.pretrain.dev.predictions", *flags.split())
    assert code == 0, err
    questions = Path("birth_dev.tsv").read_text(encoding="utf-8").splitlines()
    assert re.search(rf"^Correct: \d+\.0 out of {len(questions)}\.0: [\d.]+%$", out, flags=re.MULTILINE)
    assert len(Path(f"{v}.pretrain.dev.predictions").read_text(encoding="utf-8").split("\n")) == len(questions) + 1

    test = f"{v}.pretrain.test.predictions"
    code, out, err = run_here(f"{reading} --eval_corpus_path birth_test_inputs.tsv --outputs_path {test}", *flags.split())
    assert code == 0, err
    assert f"No gold birth places provided; returning (0,0)\nPredictions written to {test}; no targets provided\n" in out

    m = 64 if flags else 32
    run_folder = Path("expt", "pretrain", f"run_{v}_{m}_pt_lr_0.000600_ft_lr_0.000600")
    assert len(list(run_folder.glob("events.out.tfevents.*"))) == 1
    assert {path.name for path in Path("expt").iterdir()} == {"pretrain", "finetune", "evaluate"}


def test_finetuning_begins_with_what_pretraining_has_learnt(folder):
    pretrain("vanilla", "pre.params", "--device", "cpu")
    line = "finetune vanilla wiki.txt --reading_params_path pre.params --writing_params_path tuned.params --device cpu --seed 1"
    code, _, err = run_here(f"{line} --finetune_corpus_path birth_places_train.tsv --finetune_lr 1e-12", *QUICK)
    assert code == 0, err
    learnt, tuned = (torch.load(name, weights_only=True) for name in ("pre.params", "tuned.params"))
    assert learnt["pos_emb"].any()  # which begins at zero
    for name in learnt:
        torch.testing.assert_close(tuned[name], learnt[name])


def test_tensorboard_gets_loss_rate_and_accuracy(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    pretrain("vanilla", "pre.params", "--batch_size", "20", "--max_epochs", "2")
    reading = "--reading_params_path pre.params --eval_corpus_path birth_dev.tsv"
    assert run_here(f"evaluate vanilla wiki.txt {reading} --outputs_path vanilla.dev.predictions", *QUICK)[0] == 0
    (events,) = Path("expt/pretrain").iterdir()
    scalars = EventAccumulator(str(events)).Reload()
    assert [event.step for event in scalars.Scalars("train/loss")] == list(range(8))  # 61 examples in batches of 20, twice
    assert scalars.Scalars("train/lr")[0].value == pytest.approx(RECIPES["quick"].pretrain_lr)
    (events,) = Path("expt/evaluate").iterdir()
    assert EventAccumulator(str(events)).Reload().Tags()["scalars"] == ["accuracy/vanilla.dev"]


def test_predictions_are_what_one_question_at_a_time_gives(folder, monkeypatch):
    """The assignment's rule written out: prompt, 32 greedy characters, the text between the first and the second MASK."""
    monkeypatch.setattr("questions.AT_A_TIME", 4)  # ten questions in three batches
    corpus = CharCorruptionDataset(Path("wiki.txt").read_text(encoding="utf-8"), 96)
    torch.manual_seed(0)
    model = sharpened(untrained(corpus), std=0.3)
    save_params(model, "pre.params")
    _, out, _ = run_here(
        "evaluate vanilla wiki.txt --reading_params_path pre.params --eval_corpus_path birth_dev.tsv --outputs_path out", *QUICK
    )

    expected, right = [], 0
    rows = [row.split("\t") for row in Path("birth_dev.tsv").read_text(encoding="utf-8").splitlines()]
    for question, place in rows:
        completed = sample(model, encode(question + "⁇", corpus.stoi)[None], 32)[0].tolist()
        expected.append("".join(corpus.itos[i] for i in completed).split("⁇")[1])
        right += expected[-1] == place
    assert Path("out").read_text(encoding="utf-8") == "".join(p.replace("\n", " ") + "\n" for p in expected)
    assert f"Correct: {right}.0 out of {len(rows)}.0: {100 * right / len(rows)}%" in out
    assert len(set(expected)) > 1


@pytest.mark.parametrize(
    ("recipe", "flag"),
    [(recipe, flag) for recipe in ("handout", "quick") for flag in ("", "--finetune_corpus_path birth_places_train.tsv")],
)
def test_questions_that_are_mixed_in_are_told_of_and_so_are_those_that_a_recipe_misses(folder, monkeypatch, recipe, flag):
    monkeypatch.setattr(stages, "train", lambda *_: None)
    code, out, err = run_here(f"{TRAIN} --recipe {recipe} {flag}")
    assert code == 0, err
    assert ("name their file with --finetune_corpus_path" in out) == (recipe == "quick" and not flag)
    n_questions = len(Path("birth_places_train.tsv").read_text(encoding="utf-8").splitlines())
    assert (f"{n_questions} questions are mixed into the text." in out) == bool(flag)


def test_questions_are_learnt_whole_in_pretraining_only(folder):
    def last_target(function: str) -> str:
        corpus = CharCorruptionDataset.from_file("wiki.txt", 96)
        _, y = stages.read_training_data(Namespace(function=function, finetune_corpus_path="birth_places_train.tsv"), corpus)[-1]
        return "".join(corpus.itos[index] for index in y.tolist()).strip("□")

    question, place = Path("birth_places_train.tsv").read_text(encoding="utf-8").splitlines()[-1].split("\t")
    assert last_target("pretrain") == f"{question[1:]}⁇{place}⁇"
    assert last_target("finetune") == f"⁇{place}⁇"


def test_one_seed_repeats_a_run_to_the_bit_and_another_does_not(folder):
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        pretrain("vanilla", name, "--seed", seed, "--dropout", "0.2", "--device", "cpu")
    a, b, c = (torch.load(name, weights_only=True) for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["head.weight"], c["head.weight"])


def test_the_seed_decides_where_training_begins(folder):
    standing_still = ["--recipe", "handout", "--pretrain_lr", "1e-12", "--max_epochs", "1"]
    for name, seed in (("a", "1"), ("b", "2")):
        pretrain("vanilla", name, "--seed", seed, *standing_still)
    a, b = (torch.load(name, weights_only=True)["head.weight"] for name in "ab")
    assert a.std().item() == pytest.approx(0.02, rel=0.1) and (a - b).std().item() == pytest.approx(0.02 * 2**0.5, rel=0.1)


def test_the_card_says_where_the_parameters_come_from(folder):
    pretrain("synthesizer", "pre.params", "--seed", "7")
    card = json.loads(card_path("pre.params").read_text(encoding="utf-8"))
    assert card["arguments"]["variant"] == "synthesizer" and card["arguments"]["seed"] == 7
    assert card["recipe"]["n_embd"] == RECIPES["quick"].n_embd and card["recipe"]["pretrain_epochs"] == 1
    assert card["versions"]["torch"] == torch.__version__ and card["final_loss"] > 0 and card["seconds"] > 0


def test_evaluation_needs_no_card_and_writes_paths_relative_to_where_one_stands(folder, monkeypatch):
    pretrain()
    card_path("pre.params").unlink()
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    line = "evaluate vanilla ../wiki.txt --reading_params_path ../pre.params --eval_corpus_path ../birth_dev.tsv --outputs_path out"
    assert run_here(line, *QUICK)[0] == 0
    assert Path("out").exists() and Path("expt").is_dir()


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipes_model_is_known_by_its_parameters_alone(tmp_path, recipe):
    recipe = RECIPES[recipe]
    torch.manual_seed(0)
    model = GPT(GPTConfig(9, 24, n_layer=1, n_head=recipe.n_head, n_embd=recipe.n_embd)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # so that heads look at different places
    save_params(model, tmp_path / "x.params")
    idx = torch.randint(9, (2, 24))
    torch.testing.assert_close(load_model(tmp_path / "x.params").eval()(idx)[0], model(idx)[0])


def test_a_perceiver_of_its_two_ends_alone_is_known_by_its_parameters(tmp_path):
    model = GPT(GPTConfig(9, 24, n_layer=2, n_head=1, n_embd=32, perceiver=True, bottleneck_dim=5))
    save_params(model, tmp_path / "x.params")
    assert load_model(tmp_path / "x.params").config == model.config


def test_a_model_of_a_kind_that_is_not_known_is_refused_with_its_tensors_names(tmp_path):
    """Somebody's perceiver, whose latents have a name of their own."""
    model = GPT(GPTConfig(9, 24, n_layer=3, n_head=1, n_embd=32, perceiver=True, bottleneck_dim=5))
    torch.save({name.replace("down_block.C", "down_block.basis"): t for name, t in model.state_dict().items()}, tmp_path / "x.params")
    with pytest.raises(UserError, match=r"x.params does not fit the model: see down_block.attn.key.bias, .* and others$"):
        load_model(tmp_path / "x.params")
    with pytest.raises(UserError, match=r"x.params does not fit the model: see down_block.C, down_block.basis$"):
        load_params(model, tmp_path / "x.params")


def test_a_recipe_other_than_that_of_the_parameters_is_told_of(folder, monkeypatch):
    monkeypatch.setattr(stages, "train", lambda *_: None)
    save_params(untrained(stages.read_corpus("wiki.txt", "vanilla", RECIPES["laptop"]), "laptop"), "l.params")
    line = "finetune vanilla wiki.txt --reading_params_path l.params --writing_params_path f --finetune_corpus_path birth_places_train.tsv"
    assert "--recipe" not in run_here(line)[1]  # nothing says which recipe they are from
    write_card("l.params", {"arguments": {"recipe": "laptop"}})
    assert "l.params was trained with --recipe laptop, not handout: use the same" in run_here(line)[1]
    assert "l.params was trained" not in run_here(f"{line} --recipe laptop")[1]


def test_the_bundled_text_is_announced(folder, monkeypatch):
    monkeypatch.setattr(stages, "train", lambda *_: None)
    assert "whose people are invented" not in run_here(TRAIN)[1]
    monkeypatch.setattr(cards, "BUNDLED_SHA256", {"wiki.txt": file_sha256("wiki.txt"), "birth_dev.tsv": file_sha256("birth_dev.tsv")})
    line = f"{TRAIN} --eval_corpus_path birth_dev.tsv"
    out = run_here(line)[1]
    assert "wiki.txt is the bundled text, whose people are invented" in out and "birth_dev.tsv is the bundled one" not in out
    with Path("wiki.txt").open("a", encoding="utf-8") as text:
        text.write("Of the course.\n")
    out = run_here(line)[1]
    assert "is the bundled text" not in out
    cure = "if that is the course's, replace it, too, and redo what used it."
    assert f"birth_dev.tsv is the bundled one, about invented people, but the text is not: {cure}\n" in out
    line = f"{TRAIN} --finetune_corpus_path birth_dev.tsv"
    assert "birth_dev.tsv is the bundled one" in run_here(line)[1]


def test_reproduce_goes_on_from_what_a_run_leaves(folder):
    pretrain("vanilla", "vanilla.pretrain.params")
    reproduce.refuse_others("perceiver", "quick", Path())
    with pytest.raises(UserError, match="trained with another recipe than handout"):
        reproduce.refuse_others("perceiver", "handout", Path())


def test_a_small_file_asks_for_no_large_model(tmp_path):
    """A tensor may present a single stored number as many."""
    state = GPT(GPTConfig(9, 24, n_layer=1, n_head=2, n_embd=32)).state_dict()
    torch.save(state, tmp_path / "x.params")
    assert load_model(tmp_path / "x.params").config.vocab_size == 9
    torch.save(state | {"tok_emb.weight": torch.zeros(1).expand(10**13, 32)}, tmp_path / "x.params")
    with pytest.raises(UserError, match=r"x.params holds no model of this project's kind"):
        load_model(tmp_path / "x.params")


class Greedy:
    """Unpickles into a billion bytes."""

    def __reduce__(self):
        return bytearray, (10**9,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_small_file_does_not_fill_the_memory(tmp_path, zipped):
    """PyTorch lets a pickle call bytearray, in both of its formats."""
    torch.save({"tok_emb.weight": torch.zeros(2, 2), "x": Greedy()}, tmp_path / "x.params", _use_new_zipfile_serialization=zipped)
    tracemalloc.start()
    with pytest.raises(UserError, match=r"x.params is not a file of parameters"):
        load_model(tmp_path / "x.params")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10**8


def test_heads_that_a_card_tells_otherwise_are_named(tmp_path):
    """The tensors' shapes do not show how many heads there are."""
    two, four = (GPT(GPTConfig(9, 24, n_layer=1, n_head=n_head, n_embd=32)) for n_head in (2, 4))
    save_params(two, tmp_path / "x.params")
    load_params(four, tmp_path / "x.params")  # no card says otherwise
    write_card(tmp_path / "x.params", {"recipe": {"n_head": 2}})
    load_params(two, tmp_path / "x.params")
    with pytest.raises(UserError, match="has heads 2, but the command asks for 4: give the --recipe that it was trained with"):
        load_params(four, tmp_path / "x.params")


@pytest.mark.parametrize(
    "facts", [{"recipe": None}, {"recipe": "x", "arguments": None}, {"recipe": {"n_head": 0}}, {"recipe": {"n_head": "2"}}]
)
def test_a_card_that_makes_no_sense_is_as_good_as_none(tmp_path, facts):
    model = GPT(GPTConfig(9, 24, n_layer=1, n_head=1, n_embd=32))
    save_params(model, tmp_path / "x.params")
    write_card(tmp_path / "x.params", facts)
    load_params(model, tmp_path / "x.params")
    assert load_model(tmp_path / "x.params").config == model.config
    assert recipe_of(read_card(tmp_path / "x.params")) is None


def test_how_it_is_computed_may_change_where_a_run_goes_on(folder, monkeypatch):
    monkeypatch.setattr("muon.has_bf16", lambda device: False)  # in bfloat16, Muon would amplify last bits
    save = Checkpoints.save
    monkeypatch.setattr(Checkpoints, "save", lambda this, state: state["step"] > 3 or save(this, state))
    line = f"{TRAIN} --finetune_corpus_path birth_places_train.tsv --device cpu --checkpoint_minutes 0"
    assert run_here(line, *QUICK)[0] == 0
    expected = torch.load("p", weights_only=True)
    code, out, errors = run_here(line, *QUICK, "--plain", "--resume")
    assert code == 0 and "Resuming after step 3." in out, errors
    for name, tensor in torch.load("p", weights_only=True).items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=1e-4)


def test_what_decides_a_result_is_of_a_runs_identity_and_how_it_is_computed_is_not(monkeypatch, folder):
    Path("q.tsv").write_text("Where was A born?\tLima\n", encoding="utf-8")
    Path("r.params").write_bytes(b"parameters")

    def identity(flags="", variant="perceiver"):
        line = f"finetune {variant} wiki.txt --writing_params_path p --finetune_corpus_path q.tsv --reading_params_path r.params {flags}"
        monkeypatch.setattr(sys, "argv", ["run.py", *line.split()])
        args = run.parse_arguments()
        recipe = choose_recipe(args)
        return stages.identity(args, recipe, stages.read_corpus("wiki.txt", args.variant, recipe))

    same = identity()
    assert same["betas"] == [0.9, 0.95]  # as in checkpoints of earlier versions
    others = "--recipe laptop", "--max_epochs 3", "--batch_size 3", "--finetune_lr 1", "--dropout 0", "--seed 1", "--tb_expt_name x"
    assert all(identity(flag) != same for flag in (*others, "--bottleneck_dim 9"))
    assert all(identity(flag) == same for flag in ("--device cpu", "--plain", "--checkpoint_minutes 1", "--deterministic"))
    assert identity(variant="vanilla") != identity(variant="synthesizer")
    assert identity(variant="vanilla") == identity("--bottleneck_dim 9", "vanilla")  # which vanilla does not have
    for file in ("q.tsv", "r.params", "wiki.txt"):
        before = Path(file).read_bytes()
        Path(file).write_bytes(before.replace(b"a", b"e"))
        assert identity() != same, file
        Path(file).write_bytes(before)
    assert identity() == same


def test_determinism_is_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", asked.append)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")  # whoever set it knows why
    for flags in ("", "--deterministic"):
        run_here(f"{TRAIN.replace('wiki.txt', 'nowhere.txt')} {flags}")
    assert asked == [True] and os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    run_here(f"{TRAIN.replace('wiki.txt', 'nowhere.txt')} --deterministic")
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_a_newline_in_an_answer_makes_no_further_line(monkeypatch, folder):
    """Predictions match the questions line by line, and are scored as they stand in their file."""
    corpus = stages.read_corpus("wiki.txt", "vanilla", RECIPES["quick"])
    monkeypatch.setattr("questions.answer", lambda _, prompts, *__, **___: [encode("New\nYork", corpus.stoi).tolist()] * len(prompts))
    save_params(untrained(corpus), "p")
    Path("york.tsv").write_text("Where was A born?\tNew York\nWhere was B born?\tYork\n", encoding="utf-8")
    line = "evaluate vanilla wiki.txt --recipe quick --reading_params_path p --eval_corpus_path york.tsv --outputs_path o"
    code, out, err = run_here(f"{line} --details_path o.jsonl")
    assert code == 0 and "Correct: 1.0 out of 2.0: 50.0%\n" in out, err
    assert Path("o").read_text(encoding="utf-8") == "New York\n" * 2
    assert [record.right for record in read_records("o.jsonl")] == [True, False]
    assert run_here(f"{line} --report_path o.html --finetune_corpus_path york.tsv")[0] == 0
    page = Path("o.html").read_text(encoding="utf-8")
    assert "o: 1 wrong answers" in page and "Given the finetuning table" not in page


def test_as_a_process_from_a_shell(folder):
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}  # a terminal or pipe that can't encode □

    def shell(*arguments):
        return subprocess.run([sys.executable, *arguments], capture_output=True, encoding="utf-8", env=environment, check=False)

    names = shell(ROOT / "src/dataset.py", "namedata")
    assert names.returncode == 0 and len(re.findall(r"^x: Where was .* born\?⁇.+⁇□+$", names.stdout, flags=re.MULTILINE)) == 4
    assert len(re.findall(r"^y: □+⁇.+⁇□+$", names.stdout, flags=re.MULTILINE)) == 4
    corrupted = shell(ROOT / "src/dataset.py", "charcorruption")
    assert corrupted.returncode == 0 and len(re.findall(r"^x: [^⁇]*⁇[^⁇]*⁇[^⁇□]+□+$", corrupted.stdout, flags=re.MULTILINE)) == 4
    london = shell(ROOT / "london_baseline.py")
    gold = [row.split("\t")[1] for row in Path("birth_dev.tsv").read_text(encoding="utf-8").splitlines()]
    share = 100 * gold.count("London") / len(gold)
    assert london.stdout == f"Correct: {float(gold.count('London'))} out of {float(len(gold))}: {share}%\n"
    wrong = shell(ROOT / "src/run.py", "pretran", "vanilla", "wiki.txt")
    assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1 and "pretran" in wrong.stderr


# ---------------------------------------------------------------- the handouts' numbers


@pytest.mark.parametrize(
    ("line", "epochs", "batch_size", "rate"),
    [
        ("pretrain vanilla wiki.txt --writing_params_path p", 650, 128, 6e-3),
        ("pretrain perceiver wiki.txt --writing_params_path p --pretrain_lr 6e-4", 650, 128, 6e-4),
        ("finetune vanilla wiki.txt --writing_params_path p --finetune_corpus_path f", 75, 256, 6e-4),
        ("finetune vanilla wiki.txt --writing_params_path p --finetune_corpus_path f --reading_params_path r", 10, 256, 6e-4),
    ],
)
def test_the_default_recipe_is_the_handouts(monkeypatch, folder, line, epochs, batch_size, rate):
    monkeypatch.setattr(sys, "argv", ["run.py", *line.split(), "--device", "cpu"])
    args = run.parse_arguments()
    assert args.bottleneck_dim == 32 and args.tb_expt_name == "run" and args.recipe == "handout" and args.checkpoint_minutes == 5
    recipe = choose_recipe(args)
    config = stages.trainer_config(args, recipe, n_examples=2000 if "finetune " in line else 2938, n_documents=2938)
    assert (config.max_epochs, config.batch_size, config.learning_rate) == (epochs, batch_size, rate)
    assert (config.betas, config.weight_decay, config.grad_norm_clip) == ((0.9, 0.95), 0.1, 1.0)
    assert (config.lr_decay, config.warmup_tokens, config.final_tokens, config.lr_floor) == (True, 10_240, 75_212_800, 0.1)
    assert (config.muon_lr, config.ckpt_path) == (None, None)
    assert not (config.cpu_bf16 or config.plain) and config.device == "cpu"
    corpus = stages.read_corpus("wiki.txt", args.variant, recipe)
    model = stages.make_model(args, recipe, corpus)
    assert (corpus.block_size, corpus.length_draws, corpus.offset, corpus.salient_share) == (128, 1, 0, 0.0)
    assert (model.config.n_layer, model.config.n_head, model.config.n_embd) == (4, 8, 256)
    assert {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)} == {0.1}


def test_what_laptop_changes_reaches_the_training(monkeypatch, folder):
    line = "pretrain vanilla wiki.txt --recipe laptop --writing_params_path p --finetune_corpus_path f --plain --seed 3"
    monkeypatch.setattr(sys, "argv", ["run.py", *line.split(), "--device", "cpu"])
    args = run.parse_arguments()
    recipe = choose_recipe(args)
    config = stages.trainer_config(args, recipe, n_examples=4938, n_documents=2938)
    assert (config.muon_lr, config.cpu_bf16, config.lr_floor, config.plain) == (0.02, True, 0.0, True)
    assert (config.max_epochs, config.batch_size, config.learning_rate, config.seed) == (75, 64, 3e-3, 3)
    assert config.final_tokens == 75 * 4938 * 128  # the cosine ends with the run
    corpus = stages.read_corpus("wiki.txt", args.variant, recipe)
    assert (corpus.length_draws, corpus.offset, corpus.salient_share) == (8, 10, 0.4)
    assert {module.p for module in stages.make_model(args, recipe, corpus).modules() if isinstance(module, torch.nn.Dropout)} == {0.0}


@pytest.mark.parametrize(("variant", "at"), [("vanilla", 10), ("perceiver", 10), ("synthesizer", 10), ("rope", 0)])
def test_names_are_read_where_questions_have_them(tmp_path, variant, at):
    path = tmp_path / "wiki.txt"
    path.write_text("Ann Lee. Ann Lee was born in Ulm.\nWhere was Ann Lee born?", encoding="utf-8")
    corpus = stages.read_corpus(path, variant, RECIPES["laptop"])
    question, _ = NameDataset(corpus, "Where was Ann Lee born?\tUlm")[0]
    texts = [corpus[0][0] for _ in range(50)]
    name = question[10:17]
    assert max((text[at : at + 7] == name).sum() for text in texts) == 7
    assert all((text[:at] == 0).all() and (text[at : at + 9] != 0).all() for text in texts)
    assert stages.read_corpus(path, variant, RECIPES["handout"]).offset == 0


@pytest.mark.parametrize(
    ("flags", "epochs", "rate"),
    [
        ("", 75, 6e-4),
        ("--max_epochs 3 --finetune_lr 2e-4", 3, 2e-4),
        ("--reading_params_path r", 1, 1e-5),
        ("--reading_params_path r --max_epochs 10 --finetune_lr 6e-4", 10, 6e-4),  # as README advises if no questions were seen
    ],
)
def test_what_was_pretrained_with_the_questions_is_finetuned_gently_and_what_was_not_as_the_handouts_do(monkeypatch, flags, epochs, rate):
    line = f"finetune vanilla wiki.txt --recipe laptop --writing_params_path p --finetune_corpus_path f {flags}"
    monkeypatch.setattr(sys, "argv", ["run.py", *line.split()])
    args = run.parse_arguments()
    config = stages.trainer_config(args, choose_recipe(args), n_examples=2000, n_documents=2938)
    assert (config.max_epochs, config.batch_size, config.learning_rate) == (epochs, 64, rate)
    assert config.muon_lr is None  # Muon would overwrite what is known


@pytest.mark.parametrize(("function", "recipe"), [("pretrain", "laptop"), ("pretrain", "handout"), ("finetune", "handout")])
def test_the_cosine_of_a_run_is_laid_over_what_it_reads(folder, monkeypatch, function, recipe):
    configs = []
    monkeypatch.setattr(stages, "train_resumably", lambda trainer, *_: configs.append(trainer.config))
    line = f"{function} vanilla wiki.txt --recipe {recipe} --writing_params_path p --finetune_corpus_path birth_places_train.tsv"
    code, _, err = run_here(f"{line} --device cpu")
    assert code == 0, err
    texts = len(Path("wiki.txt").read_text(encoding="utf-8").split("\n"))
    questions = len(Path("birth_places_train.tsv").read_text(encoding="utf-8").splitlines())
    assert configs[0].final_tokens == 128 * (75 * (texts + questions) if recipe == "laptop" else 200 * texts)


def test_every_number_of_a_recipe_reaches_the_training(folder):
    recipe = replace(RECIPES["laptop"], n_layer=3, betas=(0.8, 0.9), weight_decay=0.3, grad_norm_clip=2.0)
    args = Namespace(function="pretrain", variant="vanilla", bottleneck_dim=32, seed=0, device="cpu", plain=False)
    config = stages.trainer_config(args, recipe, 9, 9)
    assert (config.betas, config.weight_decay, config.grad_norm_clip) == ((0.8, 0.9), 0.3, 2.0)
    model = stages.make_model(args, recipe, stages.read_corpus("wiki.txt", "vanilla", recipe))
    groups = [group for optimizer in make_optimizers(model, config) for group in optimizer.param_groups]
    assert len(model.blocks) == 3 and {group["weight_decay"] for group in groups} == {0.0, 0.3}


@pytest.mark.parametrize("function", ["pretrain", "finetune"])
def test_a_batch_size_that_is_typed_is_that_of_the_function(monkeypatch, function):
    line = f"{function} vanilla wiki.txt --writing_params_path p --finetune_corpus_path f --batch_size 3"
    monkeypatch.setattr(sys, "argv", ["run.py", *line.split()])
    args = run.parse_arguments()
    assert stages.trainer_config(args, choose_recipe(args), 9, 9).batch_size == 3


def test_the_best_recipe_has_the_handouts_model_and_no_more_examples():
    best = RECIPES["best"]
    assert best == replace(RECIPES["laptop"], pretrain_epochs=2 * RECIPES["laptop"].pretrain_epochs)
    assert [getattr(best, size) for size in ("block_size", "n_layer", "n_head", "n_embd")] == [128, 4, 8, 256]
    texts, questions = 2938, 2000  # of the course's files
    assert best.pretrain_epochs * (texts + questions) <= 14_950 * 128  # the handout's steps and batch


# ---------------------------------------------------------------- mistakes


def test_a_missing_package_gets_one_line_and_the_cure(capsys):
    assert run_reporting_errors(lambda: __import__("no_such_package")) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "'no_such_package'" in err and "pip install -r requirements.txt" in err


def no_memory_on_a_gpu():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee documentation.")


@pytest.mark.parametrize("ask_too_much", [lambda: torch.empty(2**50), lambda: bytearray(2**62), no_memory_on_a_gpu])
def test_too_little_memory_gets_one_line_and_the_cure(ask_too_much, capsys):
    assert run_reporting_errors(ask_too_much) == 2
    err = capsys.readouterr().err
    cure = "in training, a smaller --batch_size takes less; another --device may have more"
    assert err.count("\n") == 1 and f"error: not enough memory: {cure}" in err


def test_a_blank_question_is_none():
    code, _, err = run_here("ask vanilla wiki.txt --reading_params_path p", " ")
    assert code == 2 and "ask needs a question, in quotes" in err


def test_a_run_says_what_it_is_about_to_do(folder, monkeypatch):
    monkeypatch.setattr(stages, "train", lambda *_: None)
    n = len(Path("wiki.txt").read_text(encoding="utf-8").split("\n"))
    assert f"pretrain vanilla from scratch: 650 epochs of {n} examples, recipe handout\n" in run_here(TRAIN)[1]
    n = len(Path("birth_places_train.tsv").read_text(encoding="utf-8").splitlines())
    line = "finetune perceiver wiki.txt --writing_params_path p --finetune_corpus_path birth_places_train.tsv"
    assert f"finetune perceiver with 32 latents from scratch: 75 epochs of {n} examples, recipe handout\n" in run_here(line)[1]
    save_params(untrained(stages.read_corpus("wiki.txt", "vanilla", RECIPES["quick"])), "l.params")
    line = line.replace("perceiver", "vanilla") + " --reading_params_path l.params --recipe quick --max_epochs 2"
    assert f"finetune vanilla from l.params: 2 epochs of {n} examples, recipe quick\n" in run_here(line)[1]


def test_a_checkpoint_that_would_be_lost_is_named(folder):
    for line in (TRAIN, f"{TRAIN} --resume"):
        code, out, _ = run_here(f"{line} --recipe quick --max_epochs 1 --device cpu")
        assert code == 0 and "will be replaced" not in out and "No checkpoint" not in out
    Path("p.checkpoint").unlink()
    code, out, _ = run_here(f"{TRAIN} --resume --recipe quick --max_epochs 1 --device cpu")
    assert code == 0 and "No checkpoint to resume from (p.checkpoint): starting at the beginning." in out
    code, out, _ = run_here(f"{TRAIN} --recipe quick --max_epochs 1 --device cpu --seed 1")  # it does not resume from the other run's
    assert code == 0 and "Resuming" not in out
    assert "p.checkpoint, from an earlier run, will be replaced; with --resume, the same run would resume from it." in out


def test_what_can_t_be_written_for_a_while_does_not_silence_the_rest(capfd):
    """A log's disk is full for a moment, say."""
    output = Output(sys.stdout)
    failing = mock.Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
    with mock.patch.object(output, "stream", mock.Mock(wraps=output.stream, flush=failing)):
        output.flush()
    print("saved", file=output, flush=True)
    assert failing.called and capfd.readouterr().out == "saved\n"


def test_a_card_replaces_no_input(folder):
    Path("pairs.json").write_text("Where was Ada born?\tUlm\n", encoding="utf-8")
    code, _, err = run_here("finetune vanilla wiki.txt --finetune_corpus_path pairs.json --writing_params_path pairs")
    assert code == 2 and "error: pairs.json, where the card of pairs goes, is one of the inputs, or not an ordinary file" in err
    Path("p.json").mkdir()
    code, _, err = run_here(TRAIN)
    assert code == 2 and "error: p.json, where the card of p goes, is one of the inputs, or not an ordinary file" in err


@pytest.mark.skipif(sys.platform == "win32", reason="needs a FIFO")
@pytest.mark.parametrize("name", ["no.tsv", "pipe"])
def test_a_file_that_decides_nothing_is_no_unforeseen_error(folder, name):
    os.mkfifo("pipe")
    pretrain()
    code, _, err = run_here(f"ask vanilla wiki.txt --reading_params_path pre.params --finetune_corpus_path {name} --recipe quick", "Where?")
    assert code == 2 and f"error: can't read {name}: " in err
    Path("pre.params.json").unlink()
    os.mkfifo("pre.params.json")
    assert read_card("pre.params") == {}


def test_a_cluster_s_rank_does_not_silence_what_torchrun_did_not_start(folder, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("LOCAL_RANK", "1")
    code, _, err = run_here("pretrain vanilla nowhere.txt --writing_params_path p")
    assert code == 2 and "can't read nowhere.txt" in err
    assert processes.local_rank() == 0


UNIX = pytest.mark.skipif(sys.platform == "win32", reason="needs named pipes in the file system")
TRAIN = "pretrain vanilla wiki.txt --writing_params_path p"
TUNE = "finetune vanilla wiki.txt --writing_params_path p --finetune_corpus_path"
EVALUATE = "evaluate vanilla wiki.txt --outputs_path o --eval_corpus_path birth_dev.tsv --recipe quick --reading_params_path"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("pretrain vanila wiki.txt --writing_params_path p", "invalid choice: 'vanila'"),
        ("evaluate vanilla", "required: pretrain_corpus_path"),
        ("pretrain vanilla wiki.txt", "pretrain needs --writing_params_path"),
        ("finetune vanilla wiki.txt --writing_params_path p", "finetune needs --finetune_corpus_path"),
        ("finetune vanilla wiki.txt --finetune_corpus_path birth_places_train.tsv", "finetune needs --writing_params_path"),
        ("evaluate vanilla wiki.txt --reading_params_path p --outputs_path o", "evaluate needs --eval_corpus_path"),
        ("evaluate vanilla wiki.txt --eval_corpus_path birth_dev.tsv --outputs_path o", "evaluate needs --reading_params_path"),
        ("evaluate vanilla wiki.txt --eval_corpus_path birth_dev.tsv --reading_params_path p", "evaluate needs --outputs_path"),
        ("ask vanilla wiki.txt Who?", "ask needs --reading_params_path"),
        (f"{TRAIN} --outputs_path o", "pretrain takes no --outputs_path: that is for evaluate"),
        (f"{TRAIN} --report_path o", "pretrain takes no --report_path: that is for evaluate"),
        (f"{EVALUATE} p --writing_params_path q", "evaluate takes no --writing_params_path: that is for pretrain and finetune"),
        ("ask vanilla wiki.txt Who? --reading_params_path p --outputs_path o", "ask takes no --outputs_path: that is for evaluate"),
        (f"{TRAIN} --max_epoch 3", "unrecognized arguments: --max_epoch 3"),
        (f"{TRAIN} --max_epochs 0", "--max_epochs: invalid int from 1 to below 1e+09 value: '0'"),
        (f"{TRAIN} --max_epochs 100000000000000000000", "--max_epochs: invalid int from 1 to below"),
        (f"pretrain vanilla wiki.txt --writing_params_path {'p' * 201}", "its name is longer than 200 bytes"),
        (f"{TRAIN} --pretrain_lr nan", "--pretrain_lr: invalid float from 1e-12 value: 'nan'"),
        (f"{TRAIN} --dropout 1", "--dropout: invalid float from 0 to below 1 value: '1'"),
        (f"{TRAIN} --seed 99999999999999999999", "--seed: invalid int"),
        (f"{TRAIN} --seed -1", "--seed: invalid int from 0"),
        (f"{TRAIN} --device meta", "device 'meta' can't be used here"),
        ("pretrain vanilla wiki.txt --writing_params_path wiki.txt", "can't write wiki.txt: it is one of the inputs, or not an ordinary"),
        (
            f"{TUNE} strange.tsv --writing_params_path pre.params --reading_params_path pre.params",
            "pre.params: it is one of the inputs, or not",
        ),
        (
            f"{TUNE} strange.tsv --reading_params_path pre.params.checkpoint --writing_params_path pre.params",
            "pre.params.checkpoint, where a checkpoint of pre.params goes, is one of the inputs, or not an ordinary file",
        ),
        (f"{EVALUATE} pre.params --outputs_path {'o' * 300}", "its name is longer than 200 bytes"),
        pytest.param(f"{EVALUATE} pre.params --eval_corpus_path {'q' * 300}", f"{'q' * 300}: File name too long", marks=UNIX),
        (f"{EVALUATE} pre.params --details_path pre.params.json", "can't write pre.params.json: it is one of the inputs, or not an"),
        (f"{TUNE} strange.tsv --writing_params_path strange.tsv", "can't write strange.tsv: it is one of the inputs, or not an"),
        (f"{EVALUATE} pre.params --outputs_path birth_dev.tsv", "can't write birth_dev.tsv: it is one of the inputs, or not an"),
        (f"{EVALUATE} pre.params --details_path o", "two outputs have the same path: change one of them"),
        (f"{TRAIN} Who? --recipe quick --max_epochs 1", "pretrain takes no 'Who?'"),
        ("pretrain vanilla wiki.txt --writing_params_path /dev/null", "can't write /dev/null"),
        ("pretrain vanilla nowhere.txt --writing_params_path p", "can't read nowhere.txt: No such file"),
        ("pretrain vanilla . --writing_params_path p", "can't read .: Is a directory"),
        ("pretrain vanilla wiki.txt --writing_params_path none/p", "can't write none/p"),
        pytest.param(
            "pretrain vanilla wiki.txt --recipe quick --max_epochs 1 --writing_params_path astray",
            "can't write astray: its folder must exist",
            marks=UNIX,
        ),
        ("pretrain vanilla wiki.txt --writing_params_path .", "can't write .: it is one of the inputs, or not an ordinary file"),
        *((f"{TRAIN} --recipe quick --writing_params_path {new}", f"can't write {new}: it names a folder") for new in ("new/", "new/.")),
        ("pretrain perceiver wiki.txt --writing_params_path p --bottleneck_dim 129", "bottleneck_dim is 129"),
        (f"{TUNE} none.tsv", "run.py: error: can't read none.tsv: No such file"),
        (f"{TUNE} no_tab.tsv", "no_tab.tsv, line 2: no tab"),
        (f"{TUNE} strange.tsv", "strange.tsv, line 1: the pretraining corpus has no '☃'"),
        (f"{TUNE} long.tsv", "long.tsv, line 1: 157 characters do not fit the block of 128"),
        (f"{EVALUATE} none.params", "can't read none.params: No such file"),
        (f"{EVALUATE} wiki.txt", "wiki.txt is not a file of parameters"),
        (f"{EVALUATE} pre.params.checkpoint", "pre.params.checkpoint is a run's checkpoint: give the parameters beside it"),
        (f"{EVALUATE} list.params", "list.params holds a list, not a model's parameters"),
        (f"{EVALUATE} evil.params", "evil.params is not a file of parameters"),
        (f"{EVALUATE} half.params", "half.params is not a file of parameters"),
        (f"{EVALUATE} flipped.params", "flipped.params is not a file of parameters, or is damaged"),
        (f"{EVALUATE} nan.params", "nan.params holds infinite or NaN values in blocks.2.mlp.0.bias"),
        (f"{EVALUATE} text.params", "text.params holds something other than floating-point numbers: 'head.weight' is str"),
        (f"{EVALUATE} whole.params", "whole.params holds something other than floating-point numbers: 'head.weight' is torch.int64"),
        (f"{EVALUATE} shape.params", "shape.params does not fit the model: see ln_f.bias"),
        (f"{EVALUATE} more.params", "more.params does not fit the model: see blocks.0.spy"),
        (f"{EVALUATE} number.params", "number.params holds a float, not a model's parameters"),
        (f"{EVALUATE} bomb.params", "bomb.params unpacks to 500.0 MB, far more than the model has"),
        pytest.param(f"{EVALUATE} pipe", "can't read pipe: it is not an ordinary file", marks=UNIX),
        pytest.param("pretrain vanilla pipe --writing_params_path p", "can't read pipe: it is not an ordinary file", marks=UNIX),
        pytest.param(f"{TUNE} pipe", "can't read pipe: it is not an ordinary file", marks=UNIX),
        (f"{EVALUATE} other.params", "other.params does not fit the model: see blocks.0.ln1.weight"),
        (
            f"{EVALUATE} pre.params --eval_corpus_path strange.tsv",
            "strange.tsv, characters that the pretraining corpus lacks: line 1 '☃', line 2 '☂♞'",
        ),
        (f"{EVALUATE} pre.params --eval_corpus_path long.tsv", "long.tsv, line 1: a question of 149 characters"),
        (f"{EVALUATE} pre.params --eval_corpus_path no_tab.tsv", "no_tab.tsv, line 2: no tab"),
        (
            f"{EVALUATE} pre.params --recipe handout",
            "pre.params has width 128, but the command asks for 256: give the --recipe that it was trained with",
        ),
        (EVALUATE.replace("vanilla", "synthesizer") + " pre.params", "pre.params has variant vanilla, but the command asks for synth"),
        (EVALUATE.replace("vanilla", "perceiver") + " down.params", "down.params has bottleneck_dim 16, but the command asks for 32"),
        (EVALUATE.replace("wiki.txt", "smaller.txt") + " pre.params", "pre.params has vocabulary size"),
        (EVALUATE.replace("wiki.txt", "shifted.txt") + " pre.params", "was trained with other characters than this corpus has"),
    ],
)
def test_a_mistake_gets_one_line_and_exit_code_2(mistakes, line, message):
    before = sorted(path.name for path in mistakes.iterdir() if path.name != "expt")
    code, _, err = run_here(line)
    assert code == 2
    assert message in err and err.startswith("run.py: error: ") and err.count("\n") == 1
    assert sorted(path.name for path in mistakes.iterdir() if path.name != "expt") == before


def test_characters_that_the_corpus_lacks_can_be_left_out(mistakes):
    known = Path("known.tsv")
    known.write_text("Where was  born?\tLima\nWhere is  of ?\tRome\n", encoding="utf-8")
    said = {}
    for table in ("strange.tsv", "known.tsv"):
        code, out, err = run_here(f"{EVALUATE} pre.params --eval_corpus_path {table} --unknown skip")
        assert code == 0, err
        said[table] = Path("o").read_text(encoding="utf-8")
        assert ("3 characters that the pretraining corpus lacks are left out, in 2 questions." in out) == (table == "strange.tsv")
    assert said["strange.tsv"] == said["known.tsv"] and len(said["strange.tsv"].split("\n")) == 3
    code, _, err = run_here("ask vanilla wiki.txt --recipe quick --reading_params_path pre.params --unknown skip", "日本")
    assert code == 2 and "nothing is left of the question" in err
    known.unlink()
    Path("o").unlink()


def test_places_that_are_longer_than_any_answer_are_told_of(mistakes):
    place = "Llanfairpwllgwyngyllgogerychwyrnd"
    Path("far.tsv").write_text(f"Where was A born?\t{place}\nWhere was B born?\t{place[:32]}\n", encoding="utf-8")
    code, out, err = run_here(f"{EVALUATE} pre.params --eval_corpus_path far.tsv")
    assert code == 0 and "Of the places of far.tsv, 1 can't be answered: an answer has at most 32 characters." in out, err
    assert "can't be answered" not in run_here(f"{EVALUATE} pre.params")[1]
    Path("far.tsv").unlink()
    Path("o").unlink()


@pytest.fixture(scope="module")
def mistaken_files(world, tmp_path_factory):
    """A folder full of files that don't fit."""
    folder = tmp_path_factory.mktemp("mistakes")
    shutil.copytree(world, folder, dirs_exist_ok=True)
    text = (folder / "wiki.txt").read_text(encoding="utf-8")
    (folder / "smaller.txt").write_text(text.replace("z", "s"), encoding="utf-8")
    (folder / "shifted.txt").write_text(text.replace("z", "☂"), encoding="utf-8")
    (folder / "no_tab.tsv").write_text("Where was A born?\tLima\nWhere was B born?\n", encoding="utf-8")
    (folder / "strange.tsv").write_text("Where was ☃ born?\tLima\nWhere is ♞ of ☂?\tRome\n", encoding="utf-8")
    (folder / "long.tsv").write_text(f"Where was {'a' * 134} born?\tLondon\n".replace("aa born", "a born"), encoding="utf-8")
    torch.save([1, 2], folder / "list.params")
    torch.save({"tok_emb.weight": Evil()}, folder / "evil.params")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        pretrain("vanilla", "pre.params", "--device", "cpu")
        pretrain("perceiver", "down.params", "--bottleneck_dim", "16", "--device", "cpu")
    (folder / "half.params").write_bytes((folder / "pre.params").read_bytes()[:5000])
    content = bytearray((folder / "pre.params").read_bytes())
    content[len(content) // 2] ^= 1  # one of a weight's last bits
    (folder / "flipped.params").write_bytes(content)
    state = torch.load(folder / "pre.params", weights_only=True)
    torch.save({name: tensor for name, tensor in state.items() if name != "blocks.0.ln1.weight"}, folder / "other.params")
    bias = state["blocks.2.mlp.0.bias"].index_fill(0, torch.tensor([7]), torch.nan)
    torch.save(state | {"blocks.2.mlp.0.bias": bias}, folder / "nan.params")
    torch.save(state | {"head.weight": "heavy"}, folder / "text.params")
    torch.save(state | {"head.weight": state["head.weight"].long()}, folder / "whole.params")
    torch.save(state | {"ln_f.bias": torch.zeros(1).expand(128, 10**9)}, folder / "shape.params")
    torch.save(state | {"blocks.0.spy": torch.zeros(3)}, folder / "more.params")
    torch.save(1.5, folder / "number.params")
    with zipfile.ZipFile(folder / "bomb.params", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("archive/data.pkl", bytes(500 * 10**6))
    if sys.platform != "win32":
        os.mkfifo(folder / "pipe")
        (folder / "astray").symlink_to("none/p")
    return folder


@pytest.fixture
def mistakes(mistaken_files, monkeypatch):
    monkeypatch.chdir(mistaken_files)
    return mistaken_files


def test_a_card_of_other_parameters_is_not_believed(mistakes):
    torch.save({name: 2 * tensor for name, tensor in torch.load("pre.params", weights_only=True).items()}, "foreign.params")
    card_path("foreign.params").write_bytes(card_path("pre.params").read_bytes())
    text = Path("wiki.txt").read_text(encoding="utf-8").replace("z", "☂")
    Path("shifted2.txt").write_text(text, encoding="utf-8")
    Path("dev.tsv").write_text("Where was A born?\tLima\n", encoding="utf-8")
    line = "evaluate vanilla shifted2.txt --recipe quick --eval_corpus_path dev.tsv --outputs_path o --reading_params_path foreign.params"
    assert run_here(line)[0] == 0
    for name in ("foreign.params", "foreign.params.json", "shifted2.txt", "dev.tsv", "o"):
        Path(name).unlink()


def test_a_full_handout_checkpoint_round_trips_and_is_a_plain_state_dict(folder):
    """What another implementation would write and read: an ordinary dict of tensors under the assignment's names."""
    torch.manual_seed(0)
    save_params(sharpened(untrained(stages.read_corpus("wiki.txt", "vanilla", RECIPES["handout"]), "handout"), std=0.1), "p")
    state = torch.load("p", weights_only=True)
    assert type(state) is dict and all(type(tensor) is torch.Tensor and tensor.device.type == "cpu" for tensor in state.values())
    torch.save(dict(reversed(state.items())), "foreign.params", _use_new_zipfile_serialization=False)
    outputs = []
    for name in ("p", "foreign.params"):
        line = f"evaluate vanilla wiki.txt --reading_params_path {name} --eval_corpus_path birth_dev.tsv --outputs_path out"
        assert run_here(line)[0] == 0
        outputs.append(Path("out").read_bytes())
    assert outputs[0] == outputs[1] and len(set(outputs[0].splitlines())) > 1


def test_what_nobody_expected_gets_one_line_too_and_its_traceback_with_debug(folder, monkeypatch):
    def fail(*_):
        raise RuntimeError("boom\nand more")

    monkeypatch.setattr(stages, "make_model", fail)
    code, _, err = run_here(TRAIN)
    assert code == 1 and err == "run.py: error: RuntimeError: boom (--debug shows where)\n"
    code, _, err = run_here(TRAIN, "--debug")
    assert code == 1 and 'raise RuntimeError("boom' in err


# ---------------------------------------------------------------- the wrong environment


COMMANDS = ["run.py", "dataset.py", "demo.py", "page.py", "reproduce.py", "submission.py"]
OTHERS = ["london_baseline.py", "src/make_corpus.py", "autograder/grade.py", "autograder/build.py"]  # which need no PyTorch


@pytest.mark.parametrize(
    ("pretending", "why"),
    [
        ("sys.version_info = (3, 10, 1, 'final', 0)", "this is Python 3.10, but 3.11 or newer is needed"),
        ("sys.modules['torch'] = None", "No module named 'torch': activate the environment"),
        ("sys.modules['tqdm'] = None", "No module named 'tqdm': activate the environment"),
        ("importlib.metadata.version = lambda name: '2.8.0+cu128'", "PyTorch 2.8 is too old: pip install -r requirements.txt"),
    ],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_in_the_wrong_environment_each_command_says_so_in_one_line(command, pretending, why):
    program = f"import importlib.metadata, importlib.util, runpy, sys; sys.argv = ['{command}']; sys.path.insert(0, 'src'); {pretending}; "
    program += f"runpy.run_path('src/{command}', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{command}: error: {why}") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("path", OTHERS)
def test_a_command_that_needs_no_pytorch_needs_a_new_python_all_the_same(path):
    program = f"import runpy, sys; sys.argv = ['{path}']; sys.path.insert(0, '{Path(path).parent.as_posix()}'); "
    program += f"sys.version_info = (3, 9, 6, 'final', 0); runpy.run_path('{path}', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stdout) == (2, "")
    why = "this is Python 3.9, but 3.11 or newer is needed: make an environment with it"
    assert done.stderr == f"{Path(path).name}: error: {why}\n"


@pytest.mark.parametrize("path", ["src/python_version.py", "src/preflight.py", *(f"src/{name}" for name in COMMANDS), *OTHERS])
def test_what_says_so_is_understood_by_older_pythons(path):
    ast.parse((ROOT / path).read_text(encoding="utf-8"), feature_version=(3, 8))
