"""The documentation: its commands can be typed, and its links lead somewhere."""

import argparse
import math
import re
import shlex
import shutil
import sys
from importlib import import_module
from inspect import getsource
from pathlib import Path

import pytest

import run
from checkpoint import save_params
from dataset import CharCorruptionDataset
from model import GPT, GPTConfig
from recipes import RECIPES

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *(page for folder in ("docs", "autograder", "mingpt-demo") for page in sorted(ROOT.glob(f"{folder}/*.md")))]


def test_the_commands_in_the_readme_can_be_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = re.findall(r"^(?:python|torchrun .*) src/(run\.py .*)$", PAGES[0].read_text(encoding="utf-8"), re.MULTILINE)
    typed = [shlex.split(line, comments=True) for line in lines if "..." not in line]
    assert len(typed) > 20
    for line in typed:
        monkeypatch.setattr(sys, "argv", line)
        assert run.parse_arguments().function == line[1]


def test_the_python_in_the_readme_goes_on_with_a_text(world, tmp_path, monkeypatch, capsys):
    """With what the demo leaves, here untrained."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGES[0].read_text(encoding="utf-8"), re.DOTALL)
    shutil.copytree(world, tmp_path / "demo")
    monkeypatch.chdir(tmp_path)
    recipe = RECIPES["quick"]
    vocab_size = CharCorruptionDataset.from_file("demo/wiki.txt", recipe.block_size).vocab_size
    model = GPT(GPTConfig(vocab_size, recipe.block_size, n_layer=recipe.n_layer, n_head=recipe.n_head, n_embd=recipe.n_embd))
    for stage in ("pretrain", "finetune"):
        save_params(model, f"demo/vanilla.{stage}.params")
    monkeypatch.setattr(sys, "path", [*sys.path])
    exec(code, {})
    beginning = "Barbara Braddock. Born in "
    said, log_probability, _ = capsys.readouterr().out.rsplit("\n", 2)
    assert said.startswith(beginning) and len(said) == len(beginning) + 40
    assert float(log_probability) / len("Rome⁇") == pytest.approx(-math.log(vocab_size), abs=1)  # it has learnt nothing yet


class Understood(BaseException):
    """A command line was parsed."""


def test_the_commands_of_all_other_programs_can_be_typed(monkeypatch):
    def parse(parser, *words):
        theirs(parser, *words)
        raise Understood

    theirs = argparse.ArgumentParser.parse_args
    monkeypatch.setattr("console.Parser.parse_args", parse)
    monkeypatch.chdir(ROOT)
    programs = set()
    for page in PAGES:
        pieces = re.findall(r"```\n(.*?)```|`([^`]+)`", page.read_text(encoding="utf-8"), re.DOTALL)
        lines = [line for block, inline in pieces for line in (block.split("\n") if block else [" ".join(inline.split())])]
        for line in lines:
            if not (command := re.fullmatch(r"python (src|benchmarks|autograder)/(?!run\b)(\w+)\.py\b(.*)", line)):
                continue
            _, program, words = command.groups()
            words = re.sub(r" --change \.\.\.", "", re.sub(r"\b(SEED|N)\b", "0", words))
            monkeypatch.setattr(sys, "argv", [f"{program}.py", *shlex.split(words, comments=True)])
            main = import_module(program).main
            assert "arser" in getsource(main), f"{program} would run"
            with pytest.raises(Understood):
                main()
            programs.add(program)
    assert programs > {"knowledge", "make_corpus", "page", "grade", "train_speed", "attention_cost"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_links_lead_somewhere(page):
    """To files of the project, and to headings by the anchors that GitHub gives them."""
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}, target
