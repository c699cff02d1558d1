"""Says in one line what a command lacks, instead of a traceback: imported before all else, and in the syntax of older Pythons."""

import os
import re
import sys
from importlib.util import find_spec


def refuse(why):
    """End the command as every other mistake of a user does."""
    sys.stderr.write("%s: error: %s\n" % (os.path.basename(sys.argv[0]), why))
    sys.exit(2)


if sys.version_info < (3, 11):
    refuse("this is Python %d.%d, but 3.11 or newer is needed: make an environment with it" % sys.version_info[:2])
for name in ("torch", "tqdm"):
    if find_spec(name) is None:
        refuse("No module named '%s': activate the environment of the project, or pip install -r requirements.txt" % name)

from importlib.metadata import PackageNotFoundError, version

try:
    release = re.match(r"(\d+)\.(\d+)", version("torch") or "")
except PackageNotFoundError:  # as when it was built by hand: nothing tells
    release = None
if release and tuple(map(int, release.groups())) < (2, 9):  # which has no Muon
    refuse("PyTorch %s is too old: pip install -r requirements.txt" % release.group())
