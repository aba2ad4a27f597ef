#!/usr/bin/env bash
# Open WebUI from PyPI in front of a running server, driven in headless Chromium (tests/browser/open_webui.mjs): open_webui.sh BASE_URL, whose
# models include 'demo'. It is installed under build/clients/open_webui (1.7 GB) without PyTorch, which only its own embedding models need.
# Screenshot: build/browser/open_webui.png.
set -euo pipefail
cd "$(dirname "$0")/../.."
export HOTARU_URL=${1%/} HOTARU_SCREENSHOTS=$PWD/build/browser
source tests/shell/packages.sh
home=$packages_home/open_webui
with_uv() {  # pip cannot leave a dependency out
  rm -rf "$home"
  python3 -m venv "$home"
  "$home/bin/pip" install --quiet uv==0.13.9
  echo 'torch; python_version < "3"' >"$home/overrides"
  "$home/bin/uv" pip install --quiet --python "$home/bin/python" --override "$home/overrides" "$@"
}
install_once open_webui with_uv open-webui==0.12.4
install_once browser with_npm "${browser_packages[@]}"

work=$(mktemp -d)
mkdir -p "$HOTARU_SCREENSHOTS"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
(
  cd "$work"
  unset PYTHONDONTWRITEBYTECODE  # its 5,000 modules take longer to compile than to read
  export DATA_DIR=$work OLLAMA_BASE_URL=$HOTARU_URL ENABLE_OPENAI_API=False WEBUI_AUTH=False WEBUI_SECRET_KEY=$(head -c 32 /dev/urandom | base64)
  # Nothing from hubs, nothing to their makers; no requests that nobody has asked for.
  export OFFLINE_MODE=True HF_HUB_OFFLINE=1 RAG_EMBEDDING_ENGINE=ollama RAG_EMBEDDING_MODEL=demo AUDIO_STT_ENGINE=openai ANONYMIZED_TELEMETRY=False
  export ENABLE_TITLE_GENERATION=False ENABLE_TAGS_GENERATION=False ENABLE_FOLLOW_UP_GENERATION=False ENABLE_AUTOCOMPLETE_GENERATION=False
  # It offers its own tools to every model unless told not to, also to those that know none; Ollama refuses that as Hotaru does.
  export DEFAULT_MODEL_METADATA='{"capabilities": {"builtin_tools": false}}'
  exec "$home/bin/open-webui" serve --host 127.0.0.1 --port "$port"
) >"$work/log" 2>&1 &
server=$!
trap 'kill $server 2>/dev/null; wait; rm -rf "$work"' EXIT
export OPEN_WEBUI_URL=http://127.0.0.1:$port HOTARU_PACKAGES=$packages_home
for _ in $(seq 300); do
  if curl -sf "$OPEN_WEBUI_URL/health" >/dev/null; then break; fi
  kill -0 $server 2>/dev/null || break
  sleep 1
done
node tests/browser/open_webui.mjs || { tail -n 20 "$work/log"; exit 1; }
