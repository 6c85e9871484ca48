#!/bin/sh
# Builds the image with whatever is here: docker, podman or buildah. IMAGE names it, PYTHON_IMAGE is its base.
set -eu
cd "$(dirname "$0")/.."

version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' gateway/__init__.py)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
set -- --tag "${IMAGE:-jwt-gateway:$version}" --build-arg "VERSION=$version" --build-arg "REVISION=$revision" \
    ${PYTHON_IMAGE:+--build-arg "PYTHON_IMAGE=$PYTHON_IMAGE"} "$@" .

if docker info >/dev/null 2>&1; then
    exec docker build "$@"
elif command -v podman >/dev/null; then
    exec podman build --format docker "$@" # the OCI format has no HEALTHCHECK
elif command -v buildah >/dev/null; then
    exec buildah bud --format docker "$@"
fi
echo "image: none of docker (with its engine), podman and buildah is here" >&2
exit 1
