# Sourced by the scripts beside it, which make the real programs that end-to-end tests talk to.
#
# Each of them prints one path on stdout, everything else on stderr, and exits with
#     0  it is there (made now, or found in the cache)
#     3  it cannot be had on this machine; the last line on stderr says why
#     *  something is wrong with the script
# shellcheck shell=bash

components=${OTEL_LLM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/otel-llm}/components

unavailable() {
    echo "unavailable: $*" >&2
    exit 3
}

# key FILE... : a short hash of the files and of standard input (what else goes into the build).
key() {
    cat -- "$@" - | sha256sum | cut -c1-12
}

# lock NAME : held until this script ends, so that two runs at once make a thing once.
lock() {
    mkdir -p "$components"
    if command -v flock >/dev/null; then
        exec 9>"$components/$1.lock"
        flock 9
    fi
}

# room MEGABYTES : is there space for it where the cache lies?
room() {
    local free
    free=$(df -Pm "$components" | awk 'NR == 2 { print $4 }')
    [ "$free" -ge "$1" ] || unavailable "it needs $1 MB in $components, where $free MB are free"
}
