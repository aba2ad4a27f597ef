#!/usr/bin/env bash
# What `hotaru eval` says of float models beside what Hugging Face transformers says of them: the part of
# tools/check_reference.py whose models and texts are in the repository.
set -euo pipefail
cd "$(dirname "$0")/.."
exec tools/check_reference.py tests/data/reference --data models --data tests/data --items 20 \
  --hotaru "${HOTARU:-build/release/hotaru}"
