#!/usr/bin/env bash
# Installs the Debian packages of those programs, or files, that are missing: `install.sh PROGRAM=PACKAGE /FILE=PACKAGE …`.
# A service that a package would start by itself is kept from starting: nothing on this machine is touched.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
# Debian keeps the programs of PostgreSQL servers by version.
for folder in /usr/lib/postgresql/*/bin; do PATH=$PATH:$folder; done
missing=()
for pair in "$@"; do
    # `type -P` finds programs, by name or path, and passes over what the shell has built in.
    type -P "${pair%%=*}" >/dev/null || [ -f "${pair%%=*}" ] || missing+=("${pair#*=}")
done
[ ${#missing[@]} -eq 0 ] && exit 0
sudo=""
[ "$(id -u)" = 0 ] || sudo="sudo"
policy=/usr/sbin/policy-rc.d
made=""
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
    $sudo chmod 755 "$policy"
    made=yes
fi
trap '[ -z "$made" ] || $sudo rm -f "$policy"' EXIT
$sudo apt-get update --quiet=2
DEBIAN_FRONTEND=noninteractive $sudo apt-get install --yes --quiet=2 --no-install-recommends "${missing[@]}"
