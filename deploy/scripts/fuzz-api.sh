#!/usr/bin/env bash
# Fires Schemathesis at a running `deed dev`, with the OpenAPI document it serves, for DEED_FUZZ_SECONDS (120).
# Fails on a 5xx, on a status or body that is not declared, on a wrong Allow, and on an operation that ignores its key.
set -euo pipefail
cd "$(dirname "$0")/../.."
home=$PWD/target/fuzz-api
seconds=${DEED_FUZZ_SECONDS:-120}
mkdir -p "$home"
if [ ! -x "$home/venv/bin/schemathesis" ]; then
    deploy/scripts/install.sh python3=python3-venv
    python3 -m venv "$home/venv"
    "$home/venv/bin/pip" install --quiet 'schemathesis==4.32.5'
fi
DEED__LIMITS__RATE=100000 DEED__LIMITS__BURST=100000 DEED__LOG__FILTER=warn \
    target/debug/deed dev --json --listen 127.0.0.1:0 --ops-listen 127.0.0.1:0 \
    --dns-listen 127.0.0.1:0 --control-listen 127.0.0.1:0 >"$home/told.json" 2>"$home/deed.log" &
pid=$!
trap 'kill $pid 2>/dev/null || true; wait $pid 2>/dev/null || true' EXIT
for _ in $(seq 200); do [ -s "$home/told.json" ] && break; sleep 0.1; done
tell() { python3 -c 'import json,sys; t=json.load(open(sys.argv[1])); print(t[sys.argv[2]][sys.argv[3]])' "$home/told.json" "$@"; }
url=$(tell urls api)
key=$(tell keys ws_acme)
document=${1:-$url/openapi.json}
status=0
"$home/venv/bin/schemathesis" run "$document" --url "$url" -H "Authorization: Bearer $key" \
    --max-time "$seconds" --workers 2 --continue-on-failure --warnings off \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,allow_header_conformance,ignored_auth \
    --no-color || status=$?
if ! kill -0 $pid 2>/dev/null; then
    echo "the server died; its log:" >&2
    tail -n 20 "$home/deed.log" >&2
    status=1
fi
exit $status
