#!/bin/sh
# Restores what backup-log.sh dumped into an empty database, and folds the lists and due work. No process of the service
# may run on it meanwhile. `deed` (or the executable that DEED names) is configured for the database by DEED__STORE__URL.
#     restore-log.sh FILE
set -eu
deed=${DEED:-deed}
"$deed" migrate
pg_restore --data-only --single-transaction --exit-on-error --dbname="$DEED__STORE__URL" "$1"
# The lists are empty, so their subscription has to begin anew.
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --dbname="$DEED__STORE__URL" \
    --command="DELETE FROM checkpoints WHERE name <> 'relay'" --command="ANALYZE"
"$deed" projections rebuild
