"""What all tests share: a small invented world, made once, and their settings."""

import shutil

import pytest
from hypothesis import settings

from make_corpus import write_world

settings.register_profile("patient", deadline=None)  # another program may hold a case up
settings.load_profile("patient")


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A folder with the four files of a world of 60 people."""
    folder = tmp_path_factory.mktemp("world")
    write_world(60, seed=3, out=folder)
    return folder


@pytest.fixture
def folder(tmp_path, world, monkeypatch):
    """A fresh working directory with the four files."""
    shutil.copytree(world, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pytest_addoption(parser):
    parser.addoption("--soak", action="store_true", help="make faults by the hundred")


@pytest.fixture
def soak(request):
    """Whether faults are injected by the hundred."""
    return request.config.getoption("soak")
