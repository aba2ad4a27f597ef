#!/usr/bin/env bash
# The model store behind the live API: pulls, kill -9 in the middle of changes, a full disk (server_kill.py). ROUNDS=n: kills.
exec python3 "$(dirname "$0")/server_kill.py"
