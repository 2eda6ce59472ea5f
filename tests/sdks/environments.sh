#!/usr/bin/env bash
# Makes the virtual environments of the SDK matrix, one for each requirements/*.txt, and prints their folders.
#
#   tests/sdks/environments.sh [NAME...]        all of them, or those that are named
#   tests/sdks/environments.sh --find NAME      makes nothing; fails if it is not there
#
# They lie under OTEL_LLM_TEST_SDKS (default: ${XDG_CACHE_HOME:-~/.cache}/otel-llm/sdks) in folders named by a hash of
# what goes in, so that one that is there is reused and a change makes a new one. otel-llm itself is not installed
# into them, only what it depends on: the checkout under test is put on the path (test_matrix.py).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${OTEL_LLM_TEST_SDKS:-${XDG_CACHE_HOME:-$HOME/.cache}/otel-llm/sdks}
python=${PYTHON:-python3}
mkdir -p "$cache"

dependencies=$("$python" - "$here/../../pyproject.toml" <<'PY'
import sys, tomllib
with open(sys.argv[1], "rb") as file:
    print("\n".join(tomllib.load(file)["project"]["dependencies"]))
PY
)
version=$("$python" -c 'import platform; print(platform.python_version(), platform.machine())')

find_only=
if [ "${1:-}" = --find ]; then
    find_only=yes
    shift
fi

make() {
    local name=$1 wanted key folder
    [ -e "$here/requirements/$name.txt" ] || { echo "no such environment: $name" >&2; return 1; }
    wanted=$(grep -v '^#' "$here/requirements/$name.txt"; echo "$dependencies")
    key=$(printf '%s\n%s\n' "$version" "$wanted" | sha256sum | cut -c1-12)
    folder="$cache/$name-$key"
    if [ ! -e "$folder/ready" ]; then
        [ -z "$find_only" ] || return 1
        # Built where it will stay (a virtual environment cannot be moved); the lock is for two runs at once.
        exec 9>"$cache/$name.lock"
        flock 9
        if [ ! -e "$folder/ready" ]; then
            rm -rf "$folder"
            "$python" -m venv "$folder" >&2
            echo "$wanted" >"$folder/wanted.txt"
            "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile \
                --requirement "$folder/wanted.txt" >&2
            touch "$folder/ready"
        fi
        exec 9>&-
        # Older ones of this name that nobody has used for a week.
        find "$cache" -mindepth 1 -maxdepth 1 -type d -name "$name-*" -mtime +7 ! -path "$folder" -exec rm -rf {} +
    fi
    [ -n "$find_only" ] || touch "$folder"
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
