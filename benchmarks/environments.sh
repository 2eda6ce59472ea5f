#!/usr/bin/env bash
# Makes one virtual environment for each contestant: benchmarks/environments.sh [NAME ...]
#
# Their requirements exclude each other, so none can share. An environment whose requirements have not changed
# is kept. Works with pip alone; takes uv where it is on the PATH, because that is many times faster.
#   PYTHON                  the interpreter, 3.11 or newer (default: python3)
#   OTEL_LLM_BENCH_VENVS    where they go (default: in the user's cache)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${OTEL_LLM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/otel-llm}
venvs=${OTEL_LLM_BENCH_VENVS:-$cache/bench}
python=${PYTHON:-python3}
if [ $# -gt 0 ]; then
  names=("$@")
else
  names=()
  for file in "$here"/requirements/*.txt; do
    name=$(basename "$file" .txt)
    [ "$name" = constraints ] || names+=("$name")
  done
fi
mkdir -p "$venvs"

install() { # install VENV ARGUMENT...
  local venv=$1
  shift
  if command -v uv >/dev/null; then
    uv pip install --quiet --python "$venv/bin/python" "$@"
  else
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
  fi
}

for name in "${names[@]}"; do
  venv=$venvs/$name
  requirements=$here/requirements/$name.txt
  [ -f "$requirements" ] || { echo "no contestant environment called $name" >&2; exit 2; }
  stamp=$("$python" -V; cat "$here/requirements/constraints.txt" "$here/requirements/none.txt" "$requirements")
  [ "$name" != otel_llm ] || stamp+=$(cat "$here/../pyproject.toml"; cd "$here/.." && pwd)
  if [ -f "$venv/stamp" ] && [ "$(cat "$venv/stamp")" = "$stamp" ]; then
    echo "$name: up to date"
    continue
  fi
  echo "$name: making"
  "$python" -m venv --clear "$venv"
  install "$venv" -r "$requirements"
  # Ours is installed from this checkout, with the entry points by which its instrumentors are found.
  [ "$name" != otel_llm ] || install "$venv" -e "$here/.."
  printf '%s\n' "$stamp" >"$venv/stamp"
done
