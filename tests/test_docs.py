"""The documentation: its commands can be typed, and its links lead somewhere."""

import re
import shlex
import sys
from pathlib import Path

import pytest

import run

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("autograder/*.md"))]


def test_the_commands_in_the_readme_can_be_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = re.findall(r"^(?:python|torchrun .*) src/(run\.py .*)$", PAGES[0].read_text(encoding="utf-8"), re.MULTILINE)
    typed = [shlex.split(line, comments=True) for line in lines if "..." not in line]
    assert len(typed) > 20
    for line in typed:
        monkeypatch.setattr(sys, "argv", line)
        assert run.parse_arguments().function == line[1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """To files of the project, and to headings by the anchors that GitHub gives them."""
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}, target
