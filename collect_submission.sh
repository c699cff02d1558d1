#!/usr/bin/env bash
# Make assignment5.zip from the outputs beside this script:
#   bash collect_submission.sh [--edition perceiver|synthesizer|rope|all] [--folder FOLDER]
here=$(dirname "$0")
fits="import sys; from importlib.util import find_spec; assert sys.version_info >= (3, 11) and find_spec('torch')"
for python in "${PYTHON:-python3}" python "$here/.venv/bin/python"; do
  "$python" -c "$fits" 2>/dev/null && exec "$python" "$here/src/submission.py" "$@"
done
echo "collect_submission.sh: error: no Python 3.11 or newer with PyTorch found: activate the environment that you trained in" >&2
exit 2
