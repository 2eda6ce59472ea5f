#!/usr/bin/env bash
# Prints the path of a Prometheus server, installing Debian's package if there is none and this is root.
#
#   export OTEL_LLM_TEST_PROMETHEUS=$(tests/components/prometheus.sh)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/components/common.sh
source "$here/common.sh"

found() {
    local name
    for name in "${OTEL_LLM_TEST_PROMETHEUS:-}" prometheus; do
        if [ -n "$name" ] && command -v "$name"; then return; fi
    done
    return 1
}

lock prometheus
if ! found >/dev/null; then
    command -v apt-get >/dev/null || unavailable "there is no Prometheus, and this is no Debian to install it on"
    [ "$(id -u)" = 0 ] || unavailable "there is no Prometheus, and only root can install Debian's"
    room 500
    echo "installing prometheus" >&2
    export DEBIAN_FRONTEND=noninteractive
    install=(apt-get install --yes --no-install-recommends prometheus)
    "${install[@]}" >&2 || { apt-get update >&2 && "${install[@]}" >&2; } ||
        unavailable "Debian's packages cannot be installed"
fi
found
