#!/bin/sh
# Create .venv with exactly the locked packages of one requirements file, and install this project.
# Uses uv from PATH if it is there; otherwise installs uv into .venv.
set -eu
requirements=$1
uv_version=0.13.9

fail() { echo "bootstrap: $*" >&2; exit 1; }

suits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; }

if [ ! -x .venv/bin/python ] || ! suits .venv/bin/python; then
    python=
    for candidate in python3.13 python3.12 python3.11 python3 python; do
        if command -v "$candidate" >/dev/null 2>&1 && suits "$candidate"; then
            python=$(command -v "$candidate")
            break
        fi
    done
    [ -n "$python" ] || fail "needs Python 3.11, 3.12 or 3.13 on PATH; found $(python3 --version 2>&1 || echo none)"
    rm -rf .venv
    if command -v uv >/dev/null 2>&1; then
        uv venv --quiet --python "$python" .venv
    else
        "$python" -c 'import ensurepip, venv' 2>/dev/null ||
            fail "this Python has no venv; on Debian or Ubuntu: apt-get install python3-venv"
        "$python" -m venv .venv
    fi
fi

if command -v uv >/dev/null 2>&1; then
    uv=uv
else
    # an environment that uv made has no pip
    .venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip --default-pip >/dev/null
    [ -x .venv/bin/uv ] || .venv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$uv_version"
    uv=.venv/bin/uv
fi
echo "bootstrap: installing $requirements into .venv" >&2
"$uv" pip install --quiet --python .venv/bin/python --require-hashes --compile-bytecode -r "$requirements"
"$uv" pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
