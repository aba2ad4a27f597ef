#!/usr/bin/env bash
# The same seed, the same text, through every API of `hotaru serve` and the command line (same_text.py).
exec python3 "$(dirname "$0")/same_text.py"
