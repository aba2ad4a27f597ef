#!/usr/bin/env bash
# The clients that people have, unmodified from their registries, against `hotaru serve` with the demo model: tests/clients/*. Needs the
# network once, to install them under build/clients. `tests/clients.sh NAME...` runs those whose file name has NAME in it; OPEN_WEBUI=1 adds
# Open WebUI (tests/clients/open_webui.sh), LM_EVAL_ITEMS=FILE lm-evaluation-harness on the HellaSwag items of FILE (tests/clients/lm_eval.sh).
set -euo pipefail
cd "$(dirname "$0")/.."
hotaru=$(realpath "${HOTARU:-build/release/hotaru}")
source tests/shell/packages.sh
home=$packages_home
install_once python with_pip "${python_packages[@]}"
install_once node with_npm "${node_packages[@]}"

work=$(mktemp -d)
server=
trap '[[ -z $server ]] || kill "$server" 2>/dev/null; wait; rm -rf "$work"' EXIT
mkdir "$work/models"
hef=$PWD/tests/data/hef/demo-v1.hef
cp "$hef" "$work/models/demo.hef"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$hotaru" serve --host 127.0.0.1 --port "$port" --models "$work/models" >"$work/log" 2>&1 &
server=$!
url=http://127.0.0.1:$port
for _ in $(seq 100); do
  (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
  sleep 0.1
done

is_wanted() {  # is_wanted NAME PART...
  local name=$1 part
  shift
  (($#)) || return 0
  for part in "$@"; do [[ $name != *"$part"* ]] || return 0; done
  return 1
}

failures=0
for client in tests/clients/*; do
  name=$(basename "$client")
  [[ $name != cases.py && $name != *.sh && -f $client ]] || continue
  is_wanted "$name" "$@" || continue
  echo "# $name"
  arguments=("$url")
  [[ $name != ollama_python.py ]] || arguments+=("$hef")
  case $name in
    *.py) "$home/venv/bin/python" "$client" "${arguments[@]}" || failures=$((failures + 1)) ;;
    # Node looks for packages beside the file.
    *.mjs) cp "$client" "$home/" && node "$home/$name" "${arguments[@]}" || failures=$((failures + 1)) ;;
  esac
done
if is_wanted openapi "$@"; then
  echo "# openapi"
  tests/clients/openapi/run.sh "$url" >"$work/openapi" || { cat "$work/openapi"; failures=$((failures + 1)); }
  tail -n 4 "$work/openapi"
fi
if [[ -n ${OPEN_WEBUI:-} ]]; then
  tests/clients/open_webui.sh "$url" || failures=$((failures + 1))
fi
if [[ -n ${LM_EVAL_ITEMS:-} ]]; then
  tests/clients/lm_eval.sh "$url" "$work/models/demo.hef" "$LM_EVAL_ITEMS" || failures=$((failures + 1))
fi
if ((failures)); then
  echo "clients: $failures failed; the server's last words:"
  tail -n 20 "$work/log"
  exit 1
fi
