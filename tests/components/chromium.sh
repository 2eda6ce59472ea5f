#!/usr/bin/env bash
# Prints the path of a Chromium (or Chrome), installing Debian's package if there is none and this is root.
#
#   export OTEL_LLM_TEST_CHROMIUM=$(tests/components/chromium.sh)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/components/common.sh
source "$here/common.sh"

found() {
    local name
    for name in "${OTEL_LLM_TEST_CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable; do
        if [ -n "$name" ] && command -v "$name"; then return; fi
    done
    return 1
}

lock chromium
if ! found >/dev/null; then
    command -v apt-get >/dev/null || unavailable "there is no Chromium, and this is no Debian to install it on"
    [ "$(id -u)" = 0 ] || unavailable "there is no Chromium, and only root can install Debian's"
    room 1000
    echo "installing chromium" >&2
    export DEBIAN_FRONTEND=noninteractive
    install=(apt-get install --yes --no-install-recommends chromium fonts-liberation)
    "${install[@]}" >&2 || { apt-get update >&2 && "${install[@]}" >&2; } ||
        unavailable "Debian's packages cannot be installed"
fi
found
