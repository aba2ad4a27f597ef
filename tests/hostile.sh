#!/usr/bin/env bash
# `hotaru serve` against hostile and mistaken clients (hostile.py).
exec python3 "$(dirname "$0")/hostile.py"
