#!/bin/sh
# Write requirements/all.txt and requirements/dev.txt: all versions with their hashes, for all
# platforms, without the name of a package index.
set -eu
uv=$(command -v uv || echo .venv/bin/uv)
export UV_CUSTOM_COMPILE_COMMAND="make lock"
compile() {
    "$uv" pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
        --no-annotate --python-version 3.11 --all-extras pyproject.toml "$@"
}
compile --group dev --output-file requirements/dev.txt
compile --group build --constraint requirements/dev.txt --output-file requirements/all.txt
