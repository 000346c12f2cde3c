#!/usr/bin/env bash
# Makes .venv from the hashed lock file. Quick when nothing changed; needs python3 >= 3.11.
set -euo pipefail
cd "$(dirname "$0")/.."

stamp=.venv/.lock-sha256
want=$(sha256sum requirements.lock | cut -d' ' -f1)
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && exit 0

python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "User Profile needs Python 3.11 or newer, and '$python' is not: install it (Debian 12: apt-get install python3), or name one with PYTHON=/path/to/python3.11." >&2
    exit 1
fi
if [ ! -x .venv/bin/python ]; then
    if ! "$python" -m venv .venv 2>/dev/null; then
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null
            "$python" -m venv --clear .venv
        else
            echo "python3 can't make a virtual environment: install its venv module (Debian: apt-get install python3-venv) and run this again." >&2
            exit 1
        fi
    fi
fi
echo "Installing the Python packages of requirements.lock …"
.venv/bin/python -m pip install --quiet --require-hashes --no-deps -r requirements.lock
echo "$want" > "$stamp"
