#!/usr/bin/env bash
# Checks deploy/ without a cluster: installs the tools into target/tools once, then needs no network. With an argument it
# runs that program with the same tools.
set -euo pipefail
cd "$(dirname "$0")/../.."
deploy/scripts/install.sh python3=python3-venv systemd-analyze=systemd unbound-checkconf=unbound \
    /usr/share/dns/root.key=dns-root-data promtool=prometheus
tools=$PWD/target/tools/deploy
wanted=deploy/checks/requirements.txt
if ! cmp --silent "$wanted" "$tools/installed"; then
    rm -rf "$tools"
    python3 -m venv "$tools" 2>/dev/null || { rm -rf "$tools"; deploy/scripts/install.sh venv=python3-venv; python3 -m venv "$tools"; }
    "$tools/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted"
    cp "$wanted" "$tools/installed"
fi
PYTHONDONTWRITEBYTECODE=1 exec "$tools/bin/python" "${1:-deploy/checks/run.py}"
