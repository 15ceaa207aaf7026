#!/bin/sh
# Dumps what cannot be made again of Deed's database on PostgreSQL, at one moment, while it is used: the log, the API keys,
# the answers kept for repeated requests, and how far the relay has come. Lists and due work are folded from the log.
#     backup-log.sh postgres://user@host/deed FILE
set -eu
exec pg_dump --format=custom --data-only --no-owner --no-privileges \
    --table=events --table=api_keys --table=requests --table=checkpoints --file="$2" "$1"
