#!/bin/sh
# Describes every query of this crate to the compiler: writes .sqlx from a scratch server that the migrations were run on.
# --check: writes nothing and fails when .sqlx is not what would be written.
set -eu
cd "$(dirname "$0")"
check=no
case "${1-}" in
    '') ;;
    --check) check=yes ;;
    *) echo "usage: $0 [--check]" >&2; exit 2 ;;
esac

bin=
for folder in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5 -n -r) $(echo "$PATH" | tr : ' '); do
    if [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ] && [ -x "$folder/psql" ]; then
        bin=$folder
        break
    fi
done
if [ -z "$bin" ]; then
    echo "$0 needs PostgreSQL (apt-get install postgresql)" >&2
    exit 1
fi

target=${CARGO_TARGET_DIR:-$(cd ../.. && pwd)/target}
scratch=$target/sqlx/postgres
rm -rf "$scratch"
mkdir -p "$scratch/queries"

# PostgreSQL refuses to be run by root; its own user can reach a temporary folder, but maybe not this one.
server=$(mktemp -d "${TMPDIR:-/tmp}/deed-prepare.XXXXXX")
as_server() { "$@"; }
if [ "$(id -u)" = 0 ]; then
    chown postgres "$server"
    as_server() { runuser -u postgres -- "$@"; }
fi
stop() {
    (cd / && as_server "$bin/pg_ctl" stop --pgdata "$server/data" --mode immediate --silent) >/dev/null 2>&1 || true
    rm -rf "$server"
}
trap stop EXIT
trap 'exit 1' INT TERM HUP

# No port: the socket in its own folder is all there is.
(
    cd /
    as_server "$bin/initdb" --pgdata "$server/data" --auth=trust --username=postgres --encoding=UTF8 --locale=C --no-sync \
        --no-instructions >/dev/null
    as_server "$bin/pg_ctl" start --pgdata "$server/data" --silent --wait --timeout=60 --log "$server/log" \
        --options "-c listen_addresses= -c unix_socket_directories=$server -c fsync=off" >/dev/null \
        || { cat "$server/log" >&2; exit 1; }
)
for migration in ../../migrations/postgres/*.sql; do
    PGOPTIONS='-c client_min_messages=warning' "$bin/psql" --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --single-transaction \
        --host "$server" --username postgres --dbname postgres --file "$migration"
done

# The compiler does not see that the environment changed, only that a file did.
touch src/lib.rs
DEED_POSTGRES_DATABASE_URL="postgres://postgres@localhost/postgres?host=$server" SQLX_OFFLINE=false \
    SQLX_OFFLINE_DIR="$scratch/queries" cargo check --quiet --package deed-store-postgres --lib
touch src/lib.rs

if [ "$check" = yes ]; then
    if diff -r .sqlx "$scratch/queries" >&2; then
        echo "crates/store-postgres/.sqlx is up to date"
    else
        echo "crates/store-postgres/.sqlx is out of date: run crates/store-postgres/prepare.sh and commit it" >&2
        exit 1
    fi
else
    rm -rf .sqlx
    cp -R "$scratch/queries" .sqlx
    echo "crates/store-postgres/.sqlx: $(find .sqlx -name '*.json' | wc -l) queries"
fi
