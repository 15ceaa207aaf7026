#!/usr/bin/env bash
# Builds the targets with coverage counters and feeds each for a time: `run.sh [TARGET…]`, FUZZ_SECONDS each.
# What was found interesting is kept under target/fuzz; a crash leaves its input there and ends this with an error.
set -euo pipefail
cd "$(dirname "$0")"
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(names verdicts messages configuration)
host=$(rustc -vV | sed -n 's/^host: //p')
home=$(cd ../.. && pwd)/target/fuzz
# Instrumentation is a pass of the stable compiler's; naming the target keeps it out of build scripts.
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
cargo build --release --quiet --target "$host" --target-dir "$home/build" $(printf -- '--bin %s ' "${targets[@]}")
[ -z "${FUZZ_BUILD_ONLY:-}" ] || exit 0
for target in "${targets[@]}"; do
    echo "== $target"
    mkdir -p "$home/corpus/$target" "$home/crashes/$target"
    "$home/build/$host/release/$target" "$home/corpus/$target" "seeds/$target" \
        -artifact_prefix="$home/crashes/$target/" -max_total_time="${FUZZ_SECONDS:-600}" -max_len=8192 -timeout=60 \
        -rss_limit_mb=2048 -print_final_stats=1 -verbosity=1 2>&1 | grep -vE '^#[0-9]+.*(NEW|REDUCE|pulse|RELOAD)'
done
