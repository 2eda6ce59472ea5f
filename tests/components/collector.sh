#!/usr/bin/env bash
# Builds an OpenTelemetry Collector with the components that collector-config/ uses (once) from Go modules and prints the
# path of the binary. About 10 minutes on 2 cores, 4 GB of cache. The version is the newest of which a module proxy served
# every module when it was chosen; the compose file names the image of the same version.
#
#   export OTEL_LLM_TEST_COLLECTOR=$(tests/components/collector.sh)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/components/common.sh
source "$here/common.sh"

needed=$(awk '$1 == "go" { print $2 }' "$here/collector/go.mod")
command -v go >/dev/null || unavailable "Go $needed or newer is not installed"
# The toolchain that is here, and none that it would download; the sums are go.sum's, and nothing may add to them.
export GOTOOLCHAIN=local GOFLAGS=-mod=readonly GOSUMDB=off CGO_ENABLED=0
version=$(cd / && go env GOVERSION)
oldest=$(printf '%s\n' "$needed" "${version#go}" | sort -V | head -n 1)
[ "$oldest" = "$needed" ] || unavailable "Go $needed or newer is needed, and this is ${version#go}"

sources=("$here/collector/go.mod" "$here/collector/go.sum" "$here/collector/main.go")
binary=$components/collector-$(go env GOVERSION GOOS GOARCH | key "${sources[@]}")/otelcol
lock collector
if [ ! -x "$binary" ]; then
    room 6000
    echo "building $binary" >&2
    cd "$here/collector"
    go mod download >&2 || unavailable "its Go modules cannot be downloaded"
    mkdir -p "$(dirname "$binary")"
    # Moved into place when it is whole: a build that was cut short leaves nothing that looks finished.
    nice -n 10 go build -trimpath -ldflags='-s -w' -o "$binary.new" . >&2
    mv "$binary.new" "$binary"
fi
echo "$binary"
