#!/bin/sh
# Writes the three locks for every Python and platform that pyproject.toml allows. Needs uv; where there is none, a
# throw-away one is installed. Keeps the versions already locked where it can: `make lock ARGS=--upgrade` renews them.
set -eu
cd "$(dirname "$0")/.."

uv=uv
if ! command -v uv >/dev/null; then
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    echo "uv is not on PATH: installing one that is removed again" >&2
    python3 -m venv "$scratch" && "$scratch/bin/python" -m pip install --quiet uv
    uv=$scratch/bin/uv
fi

compile() { # OUTPUT, WHAT...
    output=$1 && shift
    echo "$output ..." >&2
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
        --no-emit-find-links --custom-compile-command "make lock" --output-file "$output" "$@"
}

compile requirements.lock pyproject.toml --extra embedded --extra sql "$@"
compile requirements-dev.lock pyproject.toml --extra embedded --extra sql --group dev --constraint requirements.lock "$@"
compile requirements-build.lock --group build --constraint requirements-dev.lock "$@"
