#!/usr/bin/env bash
# `hotaru serve` as a process: its address, keys, logs, metrics, what signals do to it, and a client that leaves.
set -euo pipefail
cd "$(dirname "$0")/.."
hotaru=$(realpath "${HOTARU:-build/release/hotaru}")
work=$(mktemp -d)
server=
trap '[[ -z $server ]] || kill -9 "$server" 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT
source tests/shell/cases.sh
mkdir "$work/models"
cp tests/data/hef/demo-v1.hef "$work/models/demo.hef"

start() {  # start OPTION...: leaves `server` and `url`
  "$hotaru" serve --port 0 --models "$work/models" "$@" 2>"$work/server" &
  server=$!
  url=
  for _ in $(seq 100); do
    url=$(grep -o 'http://127[^" ]*' "$work/server" | head -n 1) && break
    sleep 0.1
  done
}
ended() {  # ended CODE: the server does, with it
  local code=0
  wait "$server" || code=$?
  server=
  [[ $code == "$1" ]]
}
status() { curl -s -o "$work/body" -w '%{http_code}' "$@"; }
status_is() {  # status_is CODE CURL-ARGUMENT...
  local wanted=$1
  shift
  [[ $(status "$@") == "$wanted" ]]
}
body_has() {  # body_has PATTERN CURL-ARGUMENT...
  local pattern=$1
  shift
  curl -s "$@" >"$work/body"
  grep -q -- "$pattern" "$work/body"
}

soon() {  # soon COMMAND...: it holds within 5 s
  for _ in $(seq 50); do
    if "$@"; then return 0; fi
    sleep 0.1
  done
  return 1
}

start
check "the address is said" test -n "$url"
check "GET / greets Ollama's clients" body_has '^Ollama is running$' "$url/"
check "GET /healthz" status_is 200 "$url/healthz"
chat='{"model": "demo", "messages": [{"role": "user", "content": "Tell me a story."}], "options": {"num_predict": 8, "seed": 7}}'
check "a chat by Ollama's API" body_has '"done_reason":"length"' "$url/api/chat" -d "$chat"
check "its tokens are counted" body_has 'hotaru_generated_tokens_total{model="demo:latest"} 8' "$url/metrics"
check "its request too" body_has 'route="/api/chat",status="200"} 1' "$url/metrics"
check "and logged" grep -q ' 200 POST /api/chat ' "$work/server"
# Seconds of work, if somebody waited: 64 replies as long as the context.
endless='{"model": "demo", "prompt": "Once", "n": 64, "max_tokens": 2000, "stream": true, "seed": 7, "logit_bias": {"4095": -100, "4093": -100}}'
curl -s --max-time 1 "$url/v1/completions" -d "$endless" -o "$work/cut" || true
idle() { body_has 'hotaru_running_requests{model="demo:latest"} 0' "$url/metrics"; }
check "a client that left had begun" test -s "$work/cut"
check "its request was cut" soon grep -q ' 200 POST /v1/completions .* cut$' "$work/server"
check "nothing is computed for it any more" soon idle
check "no such model" status_is 404 "$url/api/chat" -d '{"model": "none", "messages": [{"role": "user", "content": "x"}]}'
check "no JSON" status_is 400 "$url/api/chat" -d '{"model": '
check "bytes that are no UTF-8" status_is 400 "$url/api/chat" -d $'{"model": "\xff"}'
printf '[%.0s' $(seq 100000) >"$work/deep"
check "deep JSON" status_is 400 "$url/api/chat" -d "@$work/deep"
check "a foreign page" status_is 403 "$url/api/chat" -d "$chat" -H 'Origin: https://evil.example'
check "a foreign name" status_is 403 "$url/" -H 'Host: evil.example'
curl -s --limit-rate 1k "$url/v1/completions" -d "$endless" -o "$work/cut" &
client=$!
sleep 0.3
kill -TERM "$server"
sleep 0.1
kill -TERM "$server" 2>/dev/null || true
check "a second SIGTERM ends it at once, with its own code" ended 143
kill "$client" 2>/dev/null || true

start
kill -TERM "$server"
check "SIGTERM ends it with 0" ended 0

printf 'secret\n' >"$work/keys"
start --api-key-file "$work/keys" --log-format json
check "no key" status_is 401 "$url/v1/chat/completions" -d '{}'
check "a wrong key" status_is 401 "$url/v1/chat/completions" -d '{}' -H 'Authorization: Bearer secre'
check "the key" status_is 400 "$url/v1/chat/completions" -d '{}' -H 'Authorization: Bearer secret'
check "GET / needs none" status_is 200 "$url/"
check "the log is JSON" python3 -c 'import json, sys; [json.loads(line) for line in open(sys.argv[1])]' "$work/server"
port=${url##*:}
check "a port that is taken" refused "127.0.0.1:$port: Address already in use" "$hotaru" serve --port "$port" --models "$work/models"
kill -INT "$server"
check "SIGINT ends it with 0" ended 0
: >"$work/keys"
check "a file without keys opens nothing" refused "got no key" "$hotaru" serve --port 0 --models "$work/models" --api-key-file "$work/keys"
for wrong in "--port 70000" "--memory many" "--keep-alive soon" "--log-format xml" "--host [::1"; do
  code=0
  "$hotaru" serve $wrong >"$work/stdout" 2>&1 || code=$?
  check "wrong usage: $wrong" test "$code" = 2
done

[[ $failures == 0 ]]
