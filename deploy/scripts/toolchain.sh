#!/usr/bin/env bash
# What building needs besides Rust: a C compiler (SQLite is compiled in).
set -euo pipefail
if ! command -v cc >/dev/null 2>&1; then
    sudo=""; [ "$(id -u)" = 0 ] || sudo="sudo"
    $sudo apt-get update --quiet=2
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install --yes --quiet=2 --no-install-recommends build-essential
fi
