"""collect_submission.sh: what it takes, and what it says when something is missing."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
VANILLA = {"vanilla.model.params", "vanilla.finetune.params"} | {
    f"vanilla.{kind}.{split}.predictions" for kind in ("nopretrain", "pretrain") for split in ("dev", "test")
}


def variant_outputs(variant):
    return {f"{variant}.finetune.params", f"{variant}.pretrain.dev.predictions", f"{variant}.pretrain.test.predictions"}


@pytest.fixture
def project(tmp_path, world):
    """A copy of the project, in a path with a space, with stand-ins for all outputs of the perceiver edition."""
    folder = tmp_path / "my project"
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "collect_submission.sh", folder)
    for path in world.iterdir():
        shutil.copy(path, folder)
    for name in VANILLA | variant_outputs("perceiver"):
        (folder / name).write_text(name)
    return folder


def collect(project, *arguments, cwd=None):
    command = ["bash", str(project / "collect_submission.sh"), *arguments]
    environment = {"PYTHON": sys.executable, "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, cwd=cwd or project, capture_output=True, encoding="utf-8", env=environment, check=False)


def names_in(project):
    with zipfile.ZipFile(project / "assignment5.zip") as archive:
        return set(archive.namelist())


def test_the_edition_is_found_and_the_zip_holds_all_of_it(project, tmp_path):
    done = collect(project, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "the perceiver edition" in done.stdout
    code = {f"src/{path.name}" for path in (ROOT / "src").glob("*.py")}
    data = {"wiki.txt", "birth_dev.tsv", "birth_places_train.tsv"}
    assert names_in(project) == code | data | VANILLA | variant_outputs("perceiver")
    with zipfile.ZipFile(project / "assignment5.zip") as archive:
        assert {entry.external_attr >> 16 & 0o777 for entry in archive.infolist()} == {0o644}


def test_the_other_edition_and_both(project):
    for path in map(project.joinpath, variant_outputs("perceiver")):
        path.rename(str(path).replace("perceiver", "synthesizer"))
    assert "the synthesizer edition" in collect(project).stdout
    assert names_in(project) >= variant_outputs("synthesizer") | VANILLA
    done = collect(project, "--edition", "all")
    assert done.returncode == 1 and "lacks 3 of 15 files" in done.stderr


def test_missing_files_are_listed_and_nothing_is_zipped(project):
    (project / "vanilla.model.params").unlink()
    (project / "perceiver.pretrain.test.predictions").unlink()
    done = collect(project)
    assert done.returncode == 1 and not (project / "assignment5.zip").exists()
    lines = done.stderr.splitlines()
    assert "perceiver edition lacks 2 of 12 files" in lines[0]
    assert [line.strip() for line in lines[1:]] == ["vanilla.model.params", "perceiver.pretrain.test.predictions"]


def test_the_same_files_make_the_same_zip(project):
    collect(project)
    first = (project / "assignment5.zip").read_bytes()
    for path in project.glob("*.params"):
        path.touch()
    collect(project)
    assert (project / "assignment5.zip").read_bytes() == first


def test_the_invented_corpus_is_announced(project):
    assert "invented" not in collect(project).stdout
    shutil.copy(ROOT / "wiki.txt", project)
    assert "its people are invented" in collect(project).stdout
