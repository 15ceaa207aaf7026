#!/usr/bin/env bash
# Fires Schemathesis at a running `deed dev`: `fuzz-api.sh embedded`, or `fuzz-api.sh server` on the PostgreSQL and the
# RabbitMQ that DEED__STORE__URL and DEED__BUS__URL name (`services run --dev -- …` starts them). It goes by the OpenAPI
# document that the service has and, with DEED_CONTRACTS=FOLDER, by the documents within that folder's Markdown as well.
# Fails on a 5xx, on a status or body that is not declared, on any other broken promise of a document, and on an error in
# the log of the service.
#
# DEED_FUZZ_SECONDS  how long each document is used; without it a few requests for each operation, the same in every run
# DEED_FUZZ_SEED     the seed of a run to be repeated
set -euo pipefail
cd "$(dirname "$0")/../.."
mode=${1:-}
case $mode in
    embedded) layout=() ; unset DEED__STORE__URL DEED__BUS__URL ;;
    server) layout=(--processes) ; : "${DEED__STORE__URL:?run it by services run --dev}" "${DEED__BUS__URL:?}" ;;
    *) echo "usage: $0 embedded|server" >&2; exit 2 ;;
esac
here=deploy/scripts/fuzz-api
tools=$PWD/target/tools/fuzz-api
if ! cmp --silent "$here/requirements.txt" "$tools/installed"; then
    rm -rf "$tools"
    deploy/scripts/install.sh python3=python3-venv
    python3 -m venv "$tools" 2>/dev/null || {
        rm -rf "$tools"
        deploy/scripts/install.sh venv=python3-venv
        python3 -m venv "$tools"
    }
    "$tools/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
    cp "$here/requirements.txt" "$tools/installed"
fi

home=$PWD/target/fuzz-api/$mode
rm -rf "$home"
mkdir -p "$home"
quiet=warn,actix_http=off,lapin=off,hickory_net=off,hickory_proto=off
DEED__LIMITS__RATE=100000 DEED__LIMITS__BURST=100000 DEED__LOG__FILTER=$quiet DEED__LOG__FORMAT=json \
    target/debug/deed dev --json --listen 127.0.0.1:0 --ops-listen 127.0.0.1:0 --dns-listen 127.0.0.1:0 \
    --control-listen 127.0.0.1:0 "${layout[@]}" >"$home/told.json" 2>"$home/deed.log" &
pid=$!
trap 'kill $pid 2>/dev/null || true; wait $pid 2>/dev/null || true' EXIT
for _ in $(seq 600); do
    [ -s "$home/told.json" ] || ! kill -0 $pid 2>/dev/null && break
    sleep 0.1
done
[ -s "$home/told.json" ] || { echo "the service did not start; its log:" >&2; cat "$home/deed.log" >&2; exit 1; }
export PYTHONDONTWRITEBYTECODE=1
eval "$("$tools/bin/python" "$here/prepare.py" "$home" "${DEED_CONTRACTS:-}")"
export DEED_FUZZ_APPS SCHEMATHESIS_HOOKS=$PWD/$here/hooks.py

if [ -n "${DEED_FUZZ_SECONDS:-}" ]; then
    extent=(--max-time "$DEED_FUZZ_SECONDS" ${DEED_FUZZ_SEED:+--seed "$DEED_FUZZ_SEED"})
else
    # What goes on from earlier answers would depend on their random ids.
    extent=(--phases examples,coverage,fuzzing --max-examples 15 --seed "${DEED_FUZZ_SEED:-1}")
fi
# What a document allows may still be no name: that valid requests are accepted cannot be asked for.
unasked=positive_data_acceptance
# fire DOCUMENT UNASKED-CHECKS
fire() {
    echo "$mode: ${1##*/}"
    (cd "$home" && "$tools/bin/schemathesis" run "$1" --url "$url" -H "Authorization: Bearer $key" "${extent[@]}" --workers 1 \
        --exclude-checks "$2" --generation-with-security-parameters false --generation-database none \
        --continue-on-failure --warnings off --no-color >"$home/run.txt") || { cat "$home/run.txt"; return 1; }
    grep -A1 'Test cases:' "$home/run.txt"
}
status=0
fire "$url/openapi.json" $unasked || status=1
for document in "$home"/contracts/*.yaml; do
    [ -e "$document" ] || continue
    # Such a document tells of one operation, and the path has more of them.
    fire "$document" $unasked,allow_header_conformance,unsupported_method || status=1
done
if ! kill -0 $pid 2>/dev/null; then
    echo "the service died; its log:" >&2
    tail -n 20 "$home/deed.log" >&2
    status=1
elif grep '"level":"ERROR"' "$home/deed.log" >&2; then
    echo "the service had trouble of its own" >&2
    status=1
fi
exit $status
