#!/bin/sh
# Describes every query of this crate to the compiler: writes .sqlx from a scratch database that the migrations made.
# --check: writes nothing and fails when .sqlx is not what would be written.
set -eu
cd "$(dirname "$0")"
check=no
case "${1-}" in
    '') ;;
    --check) check=yes ;;
    *) echo "usage: $0 [--check]" >&2; exit 2 ;;
esac

target=${CARGO_TARGET_DIR:-$(cd ../.. && pwd)/target}
scratch=$target/sqlx/sqlite
rm -rf "$scratch"
mkdir -p "$scratch/queries"

for migration in ../../migrations/sqlite/*.sql; do
    if command -v sqlite3 >/dev/null; then
        sqlite3 -bail "$scratch/scratch.db" <"$migration"
    elif command -v python3 >/dev/null; then
        python3 -c 'import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(open(sys.argv[2]).read())' \
            "$scratch/scratch.db" "$migration"
    else
        echo "$0 needs sqlite3 or python3 (apt-get install sqlite3)" >&2
        exit 1
    fi
done

# The compiler does not see that the environment changed, only that a file did.
touch src/lib.rs
DEED_SQLITE_DATABASE_URL="sqlite://$scratch/scratch.db" SQLX_OFFLINE=false SQLX_OFFLINE_DIR="$scratch/queries" \
    cargo check --quiet --package deed-store-sqlite --lib
touch src/lib.rs

if [ "$check" = yes ]; then
    if diff -r .sqlx "$scratch/queries" >&2; then
        echo "crates/store-sqlite/.sqlx is up to date"
    else
        echo "crates/store-sqlite/.sqlx is out of date: run crates/store-sqlite/prepare.sh and commit it" >&2
        exit 1
    fi
else
    rm -rf .sqlx
    cp -R "$scratch/queries" .sqlx
    echo "crates/store-sqlite/.sqlx: $(find .sqlx -name '*.json' | wc -l) queries"
fi
