#!/bin/sh
# The virtual environment: `check` whether it can be trusted, `make` it, `install` a lock file into it,
# and the `browser` that tests want.
#
# Plain sh, because it runs before anything is installed. Every way of making one is tried before a person
# is asked to install something.
set -eu

verb=$1
venv=$2
here=$(pwd -P)

say() { printf '%s\n' "$*" >&2; }

recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

works() { "$venv/bin/python" -m pip --version >/dev/null 2>&1 && recent "$venv/bin/python"; }

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        recent "$PYTHON" && { echo "$PYTHON"; return; }
        say "PYTHON=$PYTHON is not a Python 3.11 or newer."
        exit 1
    fi
    for name in python3 python3.13 python3.12 python3.11 python3.14; do
        recent "$name" && { echo "$name"; return; }
    done
    say "Hivemind needs Python 3.11 or newer; here python3 is $(python3 --version 2>&1 || true)."
    say "Install one, or name it: make run PYTHON=/path/to/python3.11"
    exit 1
}

try_all() {
    "$python" -m venv --clear "$venv" >/dev/null 2>&1 && works && return
    rm -rf "$venv"
    "$python" -m virtualenv --quiet "$venv" 2>/dev/null && works && return
    rm -rf "$venv"
    uv venv --quiet --seed --python "$python" "$venv" 2>/dev/null && works && return
    rm -rf "$venv"
    return 1
}

debian_install() {
    export DEBIAN_FRONTEND=noninteractive
    { apt-get install -y --no-install-recommends "$1" ||
        { apt-get update && apt-get install -y --no-install-recommends "$1"; }; } >&2 || true
}

# llama.cpp computes with OpenMP, whose library no wheel carries and a minimal Debian lacks.
openmp() {
    "$venv/bin/python" -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null
}

need_openmp() {
    openmp && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "the local model needs libgomp1: installing it"
        debian_install libgomp1
        openmp && return
    fi
    say "The local model needs the library libgomp.so.1; without it the server starts, but has no model."
    say "On Debian and Ubuntu: sudo apt-get install libgomp1"
}

browser() {
    for name in chromium chromium-browser google-chrome; do command -v "$name" >/dev/null && return; done
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "the tests of the web pages need a browser: installing chromium"
        debian_install chromium
        command -v chromium >/dev/null && return
    fi
    say "There is no Chromium here: the tests of the web pages are skipped."
    say "On Debian: sudo apt-get install chromium"
}

make_venv() {
    python=$(find_python)
    if [ -d "$venv" ] && [ ! -e "$venv/.unfinished" ] && works; then
        printf '%s\n' "$here" >"$venv/.made"
        return
    fi
    say "making $venv with $("$python" --version)"
    try_all && { printf '%s\n' "$here" >"$venv/.made"; return; }
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "this Python cannot make virtual environments yet: installing $package"
        debian_install "$package"
        try_all && { printf '%s\n' "$here" >"$venv/.made"; return; }
    fi
    say "This Python cannot make a virtual environment. On Debian and Ubuntu:"
    say "    sudo apt-get install $package"
    say "then run make again."
    exit 1
}

install() {
    lock=$3
    export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1
    say "installing $lock"
    # A package half written would count as installed: the mark makes the next set-up start afresh.
    touch "$venv/.unfinished"
    quiet=--quiet
    [ -t 2 ] && quiet=
    "$venv/bin/python" -m pip install $quiet --require-hashes -r "$lock"
    "$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation --editable .
    rm "$venv/.unfinished"
    [ "$(uname -s)" != Linux ] || need_openmp
}

case $verb in
check)
    [ -e "$venv/.made" ] || exit 0
    if [ "$(cat "$venv/.made")" != "$here" ] || [ -e "$venv/.unfinished" ] || ! recent "$venv/bin/python"; then
        rm -f "$venv/.made" "$venv/.run" "$venv/.dev" "$venv/.browser"
        touch "$venv/.unfinished"
    fi
    ;;
make) make_venv ;;
install) install "$@" ;;
browser) browser ;;
esac
