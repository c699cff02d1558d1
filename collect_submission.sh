#!/usr/bin/env bash
# Make assignment5.zip from the outputs beside this script:
#   bash collect_submission.sh [--edition perceiver|synthesizer|rope|all] [--folder FOLDER]
here=$(dirname "$0")
fits="import sys; sys.path.insert(0, sys.argv[1]); import preflight"
for python in "${PYTHON:-python3}" python "$here/.venv/bin/python"; do
  "$python" -c "$fits" "$here/src" 2>/dev/null && exec "$python" "$here/src/submission.py" "$@"
done
echo "collect_submission.sh: error: no Python 3.11 or newer with PyTorch 2.9 or newer and tqdm found: activate the environment that you trained in" >&2
exit 2
