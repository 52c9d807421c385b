# Shared by the tools: says what is done, installs what is missing. Sourced, not run.
# shellcheck shell=bash
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$top"

# One target folder for tests and tools, outside of the checkout, so that RocksDB is built once.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$HOME/.cache/custody-target}"
cache="$HOME/.cache/custody"
mkdir -p "$cache"

say() { printf '\n==> %s\n' "$*"; }

die() {
    printf '\nERROR: %s\n' "$*" >&2
    exit 1
}

# Debian packages: RocksDB needs a C++ compiler and libclang for its bindings.
need_packages() {
    local missing=()
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' ||
            missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    say "installing ${missing[*]}"
    local sudo=()
    [ "$(id -u)" -eq 0 ] || sudo=(sudo)
    "${sudo[@]}" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq "${missing[@]}" >/dev/null
}

# The least Rust is the one in Cargo.toml.
need_rust() {
    command -v cargo >/dev/null || die "Rust is not installed; get it from https://rustup.rs"
    local least found
    least=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    found=$(rustc --version | cut -d' ' -f2)
    if [ "$(printf '%s\n%s\n' "$least" "$found" | sort -V | head -n1)" != "$least" ]; then
        die "Rust $found is too old: $least or newer is needed (rustup update)"
    fi
}

# Everything is built for tests and tools alike: other features or another profile would build
# RocksDB again.
build() {
    say "building (the first time takes some ten minutes: RocksDB is built from source)"
    cargo build --locked --all-targets
}
