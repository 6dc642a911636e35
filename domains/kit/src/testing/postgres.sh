#!/bin/bash
# postgres.sh FOLDER: a PostgreSQL server for tests, on a Unix socket in FOLDER and on no port. It ends by itself half a minute after the
# last test let go of its lock on FOLDER/users. Nothing in it is meant to last: fsync is off.
set -euo pipefail
folder=$1
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1 || true)
[ -n "$bin" ] || bin=$(dirname "$(command -v postgres || echo /nowhere/postgres)")
[ -x "$bin/postgres" ] || { echo 'PostgreSQL is not installed: scripts/setup test' >&2; exit 1; }

# The server refuses to run as root.
as=()
if [ "$(id -u)" = 0 ]; then
    user=postgres
    id -u $user >/dev/null 2>&1 || user=nobody
    chown "$user" "$folder"
    as=(setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups --)
fi

rm -rf "$folder/data"
"${as[@]}" "$bin/initdb" --pgdata "$folder/data" --username nova --auth trust --encoding UTF8 --locale C --no-sync >/dev/null
"${as[@]}" "$bin/postgres" -D "$folder/data" -k "$folder" -c listen_addresses= -c fsync=off -c full_page_writes=off \
    -c synchronous_commit=off -c max_connections=500 -c shared_buffers=64MB -c autovacuum=off &
server=$!
trap 'kill -INT $server 2>/dev/null; wait $server || true; rm -rf "$folder/data"' EXIT

exec 9<>"$folder/users"
unused=0
while kill -0 $server 2>/dev/null; do
    sleep 5
    # The lock is kept from here to the end, so that a test that comes now waits and then starts a server of its own.
    if flock --exclusive --nonblock 9; then
        unused=$((unused + 1))
        [ $unused -lt 6 ] || exit 0
        flock --unlock 9
    else
        unused=0
    fi
done
