#!/bin/sh
# Makes .venv with the newest usable Python >= 3.11 and installs one lock file into it: ./bootstrap.sh requirements.lock
set -eu
cd "$(dirname "$0")"
lock=$1

say() { printf 'megadash: %s\n' "$1" >&2; }

# A Python may be on PATH and yet be too old, or be a version manager's stub that only prints an error.
usable() { "$1" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    for name in ${PYTHON:-python3.14 python3.13 python3.12 python3.11 python3 python}; do
        if usable "$name" && "$name" -c 'import ensurepip' >/dev/null 2>&1; then
            echo "$name"
            return
        fi
    done
    # Debian ships Python without ensurepip: pip of the machine can fill the environment from outside.
    for name in ${PYTHON:-python3.14 python3.13 python3.12 python3.11 python3 python}; do
        if usable "$name" && "$name" -m pip --version >/dev/null 2>&1; then
            echo "$name"
            return
        fi
    done
}

make_environment() {
    python=$(find_python)
    if [ -z "$python" ]; then
        say "no Python >= 3.11 with venv and pip was found on PATH (on Debian and Ubuntu: apt-get install python3-venv)."
        exit 1
    fi
    say "making .venv with $("$python" --version)"
    if "$python" -c 'import ensurepip' >/dev/null 2>&1; then
        "$python" -m venv --clear .venv
    else
        "$python" -m venv --clear --without-pip .venv
    fi
}

install() {
    if .venv/bin/python -m pip --version >/dev/null 2>&1; then
        set -- .venv/bin/python -m pip
    else
        set -- "$(find_python)" -m pip --python .venv/bin/python
    fi
    set -- "$@" --disable-pip-version-check install --require-hashes --only-binary :all: -r "$lock"
    # pip is shown only when it fails: its warnings about a machine's own configuration are of no use here.
    if ! "$@" >.venv/install.log 2>&1; then
        tail -n 30 .venv/install.log >&2
        say "installing $lock failed; everything pip said is in .venv/install.log."
        exit 1
    fi
}

# A moved checkout or a removed Python leaves an environment that no longer runs.
.venv/bin/python -c '' >/dev/null 2>&1 || make_environment
say "installing $lock"
install
