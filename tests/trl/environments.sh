#!/usr/bin/env bash
# Makes the virtual environments of the TRL matrix, one for each requirements/*.txt, and prints their folders.
#
#   tests/trl/environments.sh [NAME...]        all of them, or those that are named
#   tests/trl/environments.sh --find NAME      makes nothing; fails if it is not there
#
# They lie under OTEL_LLM_TEST_TRL (default: ${OTEL_LLM_CACHE:-${XDG_CACHE_HOME:-~/.cache}/otel-llm}/trl) in folders
# named by a hash of what goes in. What is large (requirements/base.in) is in one environment below the others, which
# have its packages on their path behind their own. otel-llm itself is not installed into them, only what it depends
# on: the checkout under test is put on the path (runs.py).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${OTEL_LLM_TEST_TRL:-${OTEL_LLM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/otel-llm}/trl}
python=${PYTHON:-python3}
mkdir -p "$cache"

dependencies=$("$python" - "$here/../../pyproject.toml" <<'PY'
import sys, tomllib
with open(sys.argv[1], "rb") as file:
    print("\n".join(tomllib.load(file)["project"]["dependencies"]))
PY
)
version=$("$python" -c 'import platform; print(platform.python_version(), platform.machine())')
base_wanted=$(grep -v '^#' "$here/requirements/base.in"; echo "$dependencies")
base=$cache/base-$(printf '%s\n%s\n' "$version" "$base_wanted" | sha256sum | cut -c1-12)

find_only=
if [ "${1:-}" = --find ]; then
    find_only=yes
    shift
fi

fill() { # FOLDER WANTED [BASE]: made where it will stay; the lock is for two runs at once
    local folder=$1 wanted=$2 below=${3:-} site
    exec 9>"$folder.lock"
    flock 9
    if [ ! -e "$folder/ready" ]; then
        rm -rf "$folder"
        "$python" -m venv "$folder" >&2
        if [ -n "$below" ]; then
            site=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
            "$below/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >"$site/below.pth"
        fi
        echo "$wanted" >"$folder/wanted.txt"
        "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile \
            --requirement "$folder/wanted.txt" >&2
        touch "$folder/ready"
    fi
    exec 9>&-
}

make() {
    local name=$1 wanted key folder
    [ -e "$here/requirements/$name.txt" ] || { echo "no such environment: $name" >&2; return 1; }
    wanted=$(grep -v '^#' "$here/requirements/$name.txt"; grep -v '^#' "$here/requirements/base.in")
    key=$(printf '%s\n%s\n' "$base" "$wanted" | sha256sum | cut -c1-12)
    folder=$cache/$name-$key
    if [ ! -e "$folder/ready" ]; then
        [ -z "$find_only" ] || return 1
        [ -e "$base/ready" ] || fill "$base" "$base_wanted"
        fill "$folder" "$wanted" "$base"
        # Older ones of this name that nobody has used for a week.
        find "$cache" -mindepth 1 -maxdepth 1 -type d -name "$name-*" -mtime +7 ! -path "$folder" -exec rm -rf {} +
    fi
    [ -n "$find_only" ] || touch "$folder" "$base"
    echo "$name $folder"
}

if [ $# -eq 0 ]; then
    for file in "$here"/requirements/*.txt; do
        set -- "$@" "$(basename "$file" .txt)"
    done
fi
for name in "$@"; do
    make "$name"
done
