#!/usr/bin/env bash
# Builds the image and runs it for real, without a container engine: buildah, on a base made by debootstrap (kept below
# .data/, so only the first run downloads it), in namespaces of its own. Needs Linux and root.
# It shows that the image starts as a numeric user, on a read-only root too; that the health check's own command works;
# that a person logs in and is let through; that nothing but the data directory is written; that SIGTERM ends it with 0.
set -euo pipefail
cd "$(dirname "$0")/.."
export BUILDAH_ISOLATION=chroot
place=$PWD/.data/image
suite=${SUITE:-bookworm}
base=localhost/python-$suite
image=localhost/jwt-gateway:test

store() { buildah --storage-driver vfs --root "$place/storage" --runroot "$place/run" "$@"; }
step() { printf '%4ds  %s\n' "$SECONDS" "$*"; }
fail() { echo "FAILED: $*" >&2 && tail -n 20 "$place"/*.log >&2 && exit 1; }

if [[ ${1:-} != inside ]]; then
    for program in buildah debootstrap curl ip pgrep unshare; do
        command -v "$program" >/dev/null || { echo "image-test: $program is missing; make system-deps" >&2 && exit 1; }
    done
    [[ $(id -u) == 0 ]] || { echo "image-test: needs root" >&2 && exit 1; }
    mkdir -p "$place" && rm -f "$place"/*.log

    if ! store inspect --type image "$base" >/dev/null 2>&1; then
        step "base: debootstrap $suite with Python (a minute or two, once)"
        tree=$(mktemp -d "$place/tree.XXXXXX") && trap 'rm -rf "$tree"' EXIT
        debootstrap --variant=minbase --include=python3,python3-pip,ca-certificates "$suite" "$tree" \
            >"$place/debootstrap.log" || fail debootstrap
        rm -rf "$tree"/var/cache/apt/* "$tree"/var/lib/apt/lists/*
        tar -C "$tree" -cf "$place/base.tar" . && rm -rf "$tree"
        container=$(store from scratch)
        store add --quiet "$container" "$place/base.tar" / >/dev/null
        store commit --quiet --rm "$container" "$base" >/dev/null
        rm "$place/base.tar"
    fi

    step "build"
    store rm --all >/dev/null && store rmi --prune >/dev/null # what earlier runs left
    # This machine's way to the package index (pip's settings, certificates) is lent to the build, and not kept.
    lent=()
    for file in /etc/pip.conf /etc/ssl/certs; do [[ ! -e $file ]] || lent+=(--volume "$file:$file:ro"); done
    store bud --format docker --tag "$image" --build-arg "PYTHON_IMAGE=$base" "${lent[@]}" . >"$place/build.log" 2>&1 \
        || fail "the build"
    exec unshare --mount --net --pid --fork --mount-proc --kill-child bash "$0" inside "$SECONDS"
fi

# From here on in namespaces of our own: the image's ports are free, a read-only root is one remount away, and whatever
# was started here ends with this script.
SECONDS=$2
ip link set lo up
container=$(store from --pull-never "$image")
root=$(store mount "$container")
work=$(mktemp -d)
trap 'store rm "$container" >/dev/null && rm -rf "$work"' EXIT

# asked KEY: a command of the image's configuration, one word a line.
asked() { store inspect "$container" | python3 -c "
import json, sys
config = json.load(sys.stdin)['Docker']['config']
print('\n'.join({'run': config['Entrypoint'] + config['Cmd'], 'health': config['Healthcheck']['Test'][1:],
                 'user': [config['User']], 'signal': [config['StopSignal']]}['$1']))"; }
mapfile -t run < <(asked run)
mapfile -t health < <(asked health)
[[ $(asked user) == 65532:65532 && $(asked signal) == SIGTERM ]] || fail "user or stop signal"

# The data directory is the volume that the image declares; buildah keeps one for the container.
within() { store run --user 65532:65532 --volume "$work/etc:/etc/gateway:ro" "$container" -- "$@"; }
password=$(head -c 12 /dev/urandom | od -An -tx1 | tr -d ' \n')
mkdir "$work/etc" && chmod 755 "$work" "$work/etc"
hash=$(within /app/bin/python -c 'import sys; from gateway.users.passwords import Hasher
print(Hasher().hash(sys.argv[1]))' "$password")
cat >"$work/etc/gateway.yaml" <<'YAML'
version: 1
server: {insecure_http: true, drain: {delay: 0s}}
store: {url: embedded}
login: {verify: {file: users.yaml}}
roles: {user: {}}
upstreams: {demo: "http://127.0.0.1:9000"}
routes:
  - {path: /api/**, to: demo, roles: [user]}
YAML
sed 's/file: users.yaml/database: {}/' "$work/etc/gateway.yaml" >"$work/etc/database.yaml"
printf 'users:\n  alice: {password: "%s", roles: [user]}\n' "$hash" >"$work/etc/users.yaml"

# Everything outside the data directory, with its times; less those of /run, where buildah itself writes.
contents() { find "$root" -path "$root/var/lib/gateway" -prune -o -path "$root/run" -printf '%P %m %U:%G\n' \
    -o -path "$root/run/.containerenv" -o -printf '%P %y %m %U:%G %s %T@ %C@ %l\n' | sort; }
here=http://127.0.0.1:8080
status() { curl --silent --output "$work/answer" --write-out '%{http_code}' "$@" || true; }

# serve LABEL: starts the image as it asks to be started, uses it, stops it.
serve() {
    step "$1: start"
    if within "${health[@]}" >/dev/null 2>&1; then fail "the health check passes with no gateway running"; fi
    within "${run[@]}" >"$place/gateway.log" 2>&1 &
    local buildah=$! healthy=
    for _ in $(seq 50); do
        kill -0 $buildah 2>/dev/null || fail "$1: the gateway ended"
        if within "${health[@]}" >"$place/health.log" 2>&1; then healthy=1 && break; fi
        sleep 0.2
    done
    [[ $healthy ]] || fail "$1: not healthy"
    step "$1: healthy by '${health[*]}'"

    [[ $(status $here/api/hello) == 401 ]] || fail "$1: no token, no 401"
    [[ $(status --data "username=alice&password=$password" $here/auth/login) == 200 ]] \
        || fail "$1: login: $(cat "$work/answer")"
    local token
    token=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["access_token"])' "$work/answer")
    [[ $(status --header "Authorization: Bearer $token" $here/api/hello) == 200 ]] \
        || fail "$1: with the token: $(cat "$work/answer")"
    step "$1: 401 without a token, login, 200 with it"

    # Templates and scripts travel inside the package.
    [[ $(status --header "Accept: text/html" $here/auth/login) == 200 ]] && grep -q '<form' "$work/answer" \
        || fail "$1: the login page: $(head -c 300 "$work/answer")"
    [[ $(status $here/auth/client.js) == 200 ]] || fail "$1: client.js"
    within /app/bin/gateway users list -c /etc/gateway/database.yaml >"$place/users.log" 2>&1 \
        || fail "$1: users in SQLite: $(tail -n 3 "$place/users.log")"
    step "$1: the login page, its script, users in SQLite"

    local pid
    pid=$(pgrep --uid 65532 --full '^/app/bin/python.* /app/bin/gateway run') || fail "$1: does not run as 65532"
    kill -TERM "$pid"
    wait $buildah || fail "$1: SIGTERM ended it with $?"
    step "$1: SIGTERM ended it with 0"
}

within /app/bin/python -m gateway.endpoints.demo --port 9000 >"$place/demo.log" 2>&1 &

contents >"$work/before"
serve "writable root"
contents >"$work/after"
diff "$work/before" "$work/after" || fail "these were written outside the data directory"
data=$(within ls -A /var/lib/gateway | tr '\n' ' ')
[[ $data == *keys*store* ]] || fail "not in the data directory: keys and store; but $data"
step "nothing was written outside the data directory; in it: $data"

# /run stays as it is, for buildah; only root may write there.
mount --bind "$root" "$root" && mount -t tmpfs -o mode=755 none "$root/run" && mount -o remount,ro,bind "$root"
if within /app/bin/python -c 'open("/tmp/x", "w")' 2>/dev/null; then fail "the root is not read-only"; fi
serve "read-only root"
echo "image-test: passed in $SECONDS s"
