"""Says in one line that Python is too old, instead of a traceback: imported before all else, and in the syntax of older Pythons."""

import os
import sys


def refuse(why):
    """End the command as every other mistake of a user does."""
    sys.stderr.write("%s: error: %s\n" % (os.path.basename(sys.argv[0]), why))
    sys.exit(2)


if sys.version_info < (3, 11):
    refuse("this is Python %d.%d, but 3.11 or newer is needed: make an environment with it" % sys.version_info[:2])
