#!/usr/bin/env bash
# tests/clients/openapi/run.sh BASE_URL [SECONDS [SEED]]: Hotaru's own API held against its description by schemathesis (from build/clients/venv):
# requests that are as described, and some that are not, one by one and in sequences. Every answer must be one that is described.
set -euo pipefail
cd "$(dirname "$0")/../../.."
PYTHONDONTWRITEBYTECODE=1 SCHEMATHESIS_HOOKS=tests.clients.openapi.hooks PYTHONPATH=. \
  build/clients/venv/bin/schemathesis --no-color --config-file tests/clients/openapi/schemathesis.toml run \
  "$1/hotaru/v1/openapi.json" --checks all --continue-on-failure --max-time "${2:-20}" --seed "${3:-7}" \
  --request-timeout 20 --suppress-health-check all --warnings off
