#!/usr/bin/env bash
# `hotaru serve` under slow readers, idle connections and chats (server_load.py); `tests/server_load.sh --seconds 20 --rounds 3 --judge-speed`
# also judges the chats' speed.
[[ $# -gt 0 ]] || set -- --slow 72  # more than the device has places for, and soon settled
exec python3 "$(dirname "$0")/server_load.py" "$@"
