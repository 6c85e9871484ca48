#!/bin/sh
# Installs the programs that some tests run beside the gateway. Debian and Ubuntu; elsewhere it says what to install.
set -eu

# program:package
wanted="nginx:nginx haproxy:haproxy redis-server:redis-server redis-cli:redis-tools h2load:nghttp2-client wrk:wrk curl:curl node:nodejs
    buildah:buildah debootstrap:debootstrap chromium:chromium"
postgres=/usr/lib/postgresql
njs=/usr/share/nginx/modules-available/mod-http-js.conf

PATH=$PATH:/usr/sbin:/sbin
missing=
for pair in $wanted; do
    command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
done
[ -e "$njs" ] || missing="$missing libnginx-mod-http-js"
[ -e "$postgres" ] || missing="$missing postgresql"
if [ -z "$missing" ]; then echo "system-deps: every program is here" && exit 0; fi

if ! command -v apt-get >/dev/null; then
    echo "system-deps: no apt-get here; install these with your own package manager:$missing" >&2
    echo "Tests whose program is absent are skipped and named at the end of make test." >&2
    exit 1
fi
as_root=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "system-deps: run as root: apt-get install$missing" >&2 && exit 1; }
    as_root=sudo
fi

echo "system-deps: installing$missing"
# The tests start these servers themselves. Debian would start each as a service too, unless this file says no.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null && $as_root chmod 755 $policy
    trap '$as_root rm -f $policy' EXIT
    trap 'exit 130' INT TERM HUP
fi
$as_root apt-get -q update
# shellcheck disable=SC2086
$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install --yes --no-install-recommends $missing
