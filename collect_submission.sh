#!/usr/bin/env bash
# Make assignment5.zip of the outputs in this script's folder:  bash collect_submission.sh [--edition perceiver|synthesizer|all]
cd "$(dirname "$0")" || exit
for python in "${PYTHON:-}" .venv/bin/python python python3; do
  "$python" -c "import torch" 2>/dev/null && exec "$python" src/submission.py "$@"
done
echo "collect_submission.sh: error: no python with torch found: activate the environment that you trained in" >&2
exit 2
