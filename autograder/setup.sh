#!/usr/bin/env bash
# Gradescope runs this once, when it builds the image: it installs Python, and what submissions' code imports.
set -euo pipefail
cd "$(dirname "$0")"
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install -y python3.11 python3.11-venv || apt-get install -y python3 python3-venv
python=$(command -v python3.11 || command -v python3)
"$python" -c 'import sys; assert sys.version_info >= (3, 11), "choose an image with Python 3.11 or newer"'
"$python" -m venv /opt/grader # where the user that runs submissions can read it
[ ! -f pip.conf ] || export PIP_CONFIG_FILE="$PWD/pip.conf"
/opt/grader/bin/pip install --no-cache-dir -r autograder/requirements.txt
