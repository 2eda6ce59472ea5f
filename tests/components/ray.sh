#!/usr/bin/env bash
# Makes (once) an environment with Ray and W&B in it, and prints its folder. About a minute, 0.6 GB of disk.
# Otel-llm itself is not in it: its stage installs the checkout's wheel.
#
#   export OTEL_LLM_TEST_RAY=$(tests/components/ray.sh)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/components/common.sh
source "$here/common.sh"

python=${PYTHON:-python3}
version=$("$python" -c 'import platform; print(platform.python_version(), platform.machine())')
dependencies=$("$python" - "$here/../../pyproject.toml" <<'PY'
import sys, tomllib
with open(sys.argv[1], "rb") as file:
    print("\n".join(tomllib.load(file)["project"]["dependencies"]))
PY
)
folder=$components/ray-$(printf '%s\n%s\n' "$version" "$dependencies" | key "$here/ray/requirements.txt" "$here/ray.sh")
lock ray
if [ ! -e "$folder/ready" ]; then
    room 2000
    echo "making $folder" >&2
    rm -rf "$folder"
    "$python" -m venv "$folder" >&2
    printf '%s\n' "$dependencies" >"$folder/dependencies.txt"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile \
        --requirement "$here/ray/requirements.txt" --requirement "$folder/dependencies.txt" >&2 ||
        { rm -rf "$folder"; unavailable "its packages cannot be installed for Python $version"; }
    touch "$folder/ready"
fi
echo "$folder"
