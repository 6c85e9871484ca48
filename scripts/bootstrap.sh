#!/bin/sh
# bootstrap.sh run|dev [COMMAND...]: makes .venv as the locks say, unless it is so already, and then becomes COMMAND.
# Takes uv where there is one (`UV= make run` turns that off), else venv and pip. Nothing is installed without a hash.
set -eu
cd "$(dirname "$0")/.."
kind=$1 && shift
venv=.venv log=.venv/install.log busy=.venv/installing
case $kind in
    run) locks="requirements.lock requirements-build.lock" ;;
    dev) locks="requirements-dev.lock requirements-build.lock" ;;
esac

become() { [ $# -gt 0 ] || exit 0 && exec "$@"; }
say() { printf '%s\n' "$*" >&2; }
die() { say "$@" && exit 1; }

# What the environment was made from. The path belongs to it: an environment cannot be moved.
stamp() { { pwd && cat "$@" pyproject.toml; } | cksum; }
# shellcheck disable=SC2086
wanted=$(stamp $locks)
made() { [ -x $venv/bin/python ] && [ ! -e $busy ] && grep -qsxF "$wanted" "$venv/stamp-$kind"; }
if made; then become "$@"; fi # a second start comes no further

# Two installations into one environment would harm each other; one that was cut off is not worth trusting.
if [ -e $busy ]; then
    while [ -s $busy ] && kill -0 "$(cat $busy)" 2>/dev/null; do
        say "waiting for another installation (process $(cat $busy))" && sleep 2
    done
    if made; then become "$@"; fi
    if [ -e $busy ]; then say "the last installation was cut off: starting afresh" && rm -rf $venv; fi
fi

for python in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
    version=$("$python" -c 'import sys; v = sys.version_info
(3, 11) <= v < (3, 15) or sys.exit(1); print("%d.%d.%d" % v[:3])' 2>/dev/null) && break
    python=
done
uv=${UV-uv} && command -v "${uv:-no}" >/dev/null || uv=
[ "$python$uv" ] || die "Python 3.11 to 3.14 was not found; PYTHON=/path/to/python3 names one that is not on PATH." \
    "On Debian or Ubuntu: apt-get install python3 python3-pip. Or install uv, which brings its own."

mkdir -p $venv && echo $$ >$busy && : >$log
ticker='' && trap '[ -z "$ticker" ] || kill $ticker' EXIT && trap 'exit 130' INT TERM HUP
# shellcheck disable=SC2086
total=$(cat $locks | grep -c '^[A-Za-z].*==')

# Shows that something goes on while $log grows: a terminal gets one line that counts, anything else a line every 10 s.
tick() {
    seconds=0
    while sleep 1 >/dev/null 2>&1 && [ -e $busy ] && kill -0 $$ 2>/dev/null; do
        seconds=$((seconds + 1)) && count=$(grep -cE '^(Collecting|Processing|Ignoring|Requirement) ?' $log) || true
        [ "$count" = 0 ] && how_far='' || how_far="$count of $total packages, " # uv does not count
        if [ "$live" ]; then
            printf '\r  %s%s s ' "$how_far" $seconds >&2
        elif [ $((seconds % 10)) -eq 0 ]; then
            say "  $how_far$seconds s"
        fi
    done
}
step() { # LABEL COMMAND...
    say "$1 ..." && label=$1 && shift
    [ -t 2 ] && [ "${TERM:-dumb}" != dumb ] && [ -z "${CI:-}" ] && live=1 || live=
    tick & ticker=$!
    "$@" >>$log 2>&1 || die "$(echo && tail -n 20 $log)" "$label: failed; the whole output is in $log"
    kill $ticker && ticker='' && if [ "$live" ]; then printf '\r\033[K' >&2; fi
}

if [ "$uv" ]; then
    say "Python ${version:-from uv}, uv"
    "$uv" venv --quiet --allow-existing --python "${python:-3.13}" $venv
    install() { "$uv" pip install --python $venv/bin/python --compile-bytecode "$@"; }
else
    say "Python $version, pip (uv would be faster)"
    # --without-pip: Debian keeps ensurepip in a package of its own, and any pip can fill another environment.
    "$python" -m venv --without-pip $venv
    for pip in "$python -m pip" pip pip3 "$venv/bin/python -m pip"; do
        $pip --python $venv/bin/python --version >/dev/null 2>&1 && break
        pip=
    done
    [ "$pip" ] || "$python" -m venv $venv >>$log 2>&1 || die "pip is missing: apt-get install python3-pip, or take uv"
    install() { ${pip:-$venv/bin/python -m pip} --python $venv/bin/python install --no-input --progress-bar off "$@"; }
fi
# shellcheck disable=SC2046,SC2086
step "installing $total packages" install --require-hashes --only-binary :all: $(printf -- '-r %s ' $locks)
step "installing the gateway itself" install --no-deps --no-build-isolation --editable .
[ "$kind" = run ] || stamp requirements.lock requirements-build.lock >$venv/stamp-run # what dev has, run has
echo "$wanted" >"$venv/stamp-$kind" && rm $busy
say "environment ready in $venv"
become "$@"
