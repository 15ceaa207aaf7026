#!/bin/sh
# What cargo-auditable calls for cargo. Cargo puts the path of the program that stands between it and rustc into the names of
# symbols: by its bare name it is the same on every machine.
if [ -n "${RUSTC_WORKSPACE_WRAPPER-}" ]; then
    export RUSTC_WORKSPACE_WRAPPER=cargo-auditable
fi
exec cargo "$@"
