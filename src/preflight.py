"""Says in one line what a command that needs PyTorch lacks, as python_version.py does for all."""

from python_version import refuse  # first: older Pythons lack some of the following

# isort: split
import re
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

for name in ("torch", "tqdm"):
    if find_spec(name) is None:
        refuse("No module named '%s': activate the environment of the project, or pip install -r requirements.txt" % name)

try:
    release = re.match(r"(\d+)\.(\d+)", version("torch") or "")
except PackageNotFoundError:  # as when it was built by hand: nothing tells
    release = None
if release and tuple(map(int, release.groups())) < (2, 9):  # which has no Muon
    refuse("PyTorch %s is too old: pip install -r requirements.txt" % release.group())
