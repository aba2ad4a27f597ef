#!/usr/bin/env bash
# Bad input through the real program: damaged files, wrong configs, missing tensors, outputs that cannot be written, a killed
# process. Each ends with exit code 1, one clear sentence on stderr and no partial file.
# DAMAGES (default 50): random truncations and bit flips tried per kind of file.
set -euo pipefail
cd "$(dirname "$0")/.."
hotaru=$(realpath "${HOTARU:-build/release/hotaru}")
damages=${DAMAGES:-50}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

report() {  # report STATUS NAME
  if [[ $1 == 0 ]]; then echo "ok $2"; else echo "not ok $2"; failures=$((failures + 1)); fi
}

# refused OUTPUT COMMAND...: exit code 1, exactly one line on stderr that begins "hotaru: ", and OUTPUT is not there.
refused() {
  local output=$1 code=0
  shift
  "$@" >"$work/stdout" 2>"$work/stderr" </dev/null || code=$?
  if [[ $code != 1 || $(wc -l <"$work/stderr") != 1 || $(head -c 8 "$work/stderr") != "hotaru: " || -e $output ]]; then
    echo "# exit $code of: $*" >&2
    head -n 5 "$work/stderr" >&2
    return 1
  fi
}

expect_refused() {  # expect_refused NAME OUTPUT COMMAND...
  local name=$1 status=0
  shift
  refused "$@" || status=1
  report $status "$name: $(tr -cd '[:print:]' <"$work/stderr" | head -c 150)"
}

fresh_checkpoint() {  # a copy of the demo model whose files may be changed
  rm -rf "$work/model"
  cp -r models/demo "$work/model"
  chmod -R u+w "$work/model"
}

"$hotaru" optimize models/demo -o "$work/good.har" --recipe rtn --samples 2 --quiet >"$work/log"
"$hotaru" compile "$work/good.har" -o "$work/good.hef" --quiet >"$work/log"

for kind in har hef safetensors; do
  good=$work/good.$kind
  [[ $kind == safetensors ]] && good=models/demo
  status=0; tests/damage.py $kind "$good" "$damages" "$hotaru" || status=1
  report $status "$kind truncated or flipped at $damages places"
done

config() {  # config NAME PYTHON-STATEMENT on `c`
  fresh_checkpoint
  python3 - "$work/model/config.json" "$2" <<'PY'
import json, sys
c = json.load(open(sys.argv[1]))
exec(sys.argv[2])
json.dump(c, open(sys.argv[1], "w"))
PY
  expect_refused "config: $1" "$work/out.har" "$hotaru" optimize "$work/model" -o "$work/out.har" --recipe rtn --quiet
}
config "hidden_size missing" 'del c["hidden_size"]'
config "hidden_size negative" 'c["hidden_size"] = -256'
config "hidden_size huge" 'c["hidden_size"] = 1 << 62'
config "hidden_size a string" 'c["hidden_size"] = "256"'
config "hidden_size of another model" 'c["hidden_size"] = 512'
config "layers huge" 'c["num_hidden_layers"] = 10 ** 9'
config "layers fractional" 'c["num_hidden_layers"] = 8.5'
config "key heads do not divide" 'c["num_key_value_heads"] = 3'
config "epsilon a list" 'c["rms_norm_eps"] = [1e-6]'
config "rope type unknown" 'c["rope_parameters"] = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4}'
config "activation unknown" 'c["hidden_act"] = "gelu"'
config "architecture unknown" 'c["architectures"] = ["GemmaForCausalLM"]; c["model_type"] = "gemma"'
config "already quantised" 'c["quantization_config"] = {"quant_method": "gptq"}'

fresh_checkpoint; echo '{"hidden_size": ' >"$work/model/config.json"
expect_refused "config: cut JSON" "$work/out.har" "$hotaru" optimize "$work/model" -o "$work/out.har" --recipe rtn --quiet
fresh_checkpoint; rm "$work/model/config.json"
expect_refused "config: not there" "$work/out.har" "$hotaru" optimize "$work/model" -o "$work/out.har" --recipe rtn --quiet
expect_refused "checkpoint: no such folder" none "$hotaru" optimize "$work/nowhere" -o "$work/out.har" --quiet

weights() {  # weights NAME PYTHON-STATEMENT on `t` (name -> entry) and `data` (bytearray)
  fresh_checkpoint
  python3 - "$work/model/model.safetensors" "$2" <<'PY'
import json, struct, sys
raw = open(sys.argv[1], "rb").read()
n = struct.unpack("<Q", raw[:8])[0]
t, data = json.loads(raw[8:8 + n]), bytearray(raw[8 + n:])
exec(sys.argv[2])
head = json.dumps(t).encode()
open(sys.argv[1], "wb").write(struct.pack("<Q", len(head)) + head + data)
PY
  expect_refused "weights: $1" "$work/out.har" "$hotaru" optimize "$work/model" -o "$work/out.har" --recipe rtn --quiet
}
weights "tensor missing" 't["other"] = t.pop("model.layers.3.mlp.up_proj.weight")'
weights "NaN" 'a = t["model.layers.2.mlp.down_proj.weight"]["data_offsets"][0]; data[a + 100:a + 102] = b"\xc0\x7f"'
weights "wrong shape" 'e = t["model.norm.weight"]; e["shape"] = [16, 16]'
weights "integers" 't["model.norm.weight"]["dtype"] = "I16"'
weights "offset beyond the file" 't["model.norm.weight"]["data_offsets"][1] = 1 << 62'

fresh_checkpoint
python3 - "$work/model/tokenizer.json" <<'PY'
import json, sys
t = json.load(open(sys.argv[1]))
t["added_tokens"].append(dict(t["added_tokens"][-1], id=5000, content="<|new|>"))
json.dump(t, open(sys.argv[1], "w"))
PY
expect_refused "tokenizer larger than the vocabulary" "$work/out.har" "$hotaru" optimize "$work/model" -o "$work/out.har" --recipe rtn --quiet
fresh_checkpoint; echo '[]' >"$work/model/tokenizer.json"
expect_refused "tokenizer of the wrong type" "$work/out.har" "$hotaru" optimize "$work/model" -o "$work/out.har" --recipe rtn --quiet

expect_refused "read-only place" /proc/out.hef "$hotaru" compile "$work/good.har" -o /proc/out.hef --quiet
expect_refused "folder not there" none "$hotaru" compile "$work/good.har" -o "$work/no/out.hef" --quiet
limited() { ulimit -f 512; exec "$hotaru" compile "$work/good.har" -o "$work/limit.hef" --quiet; }
expect_refused "file size limit" "$work/limit.hef" bash -c "$(declare -f limited); hotaru=$hotaru work=$work limited"
if mkdir "$work/small" && mount -t tmpfs -o size=1m tmpfs "$work/small" 2>/dev/null; then
  expect_refused "full disk" "$work/small/out.hef" "$hotaru" compile "$work/good.har" -o "$work/small/out.hef" --quiet
  left=$(ls -A "$work/small"); umount "$work/small"
  report $([[ -z $left ]] && echo 0 || echo 1) "a full disk keeps nothing"
fi

# kill -9 at ten moments of optimize: the old output stays, nothing else appears.
mkdir "$work/kill"
status=0
for tenth in 1 2 3 4 5 6 7 8 9 10; do
  echo old >"$work/kill/out.har"
  "$hotaru" optimize models/demo -o "$work/kill/out.har" --recipe rtn --quiet &
  sleep "$(python3 -c "print(0.1 * $tenth)")"
  kill -9 $! 2>/dev/null || true
  wait $! 2>/dev/null || true
  [[ $(ls -A "$work/kill") == out.har ]] || status=1
  [[ $(head -c 4 "$work/kill/out.har") == "old" || $(head -c 6 "$work/kill/out.har") == HOTARU ]] || status=1
done
report $status "killed while writing: the old output stays or the new one is whole"

expect_refused "not enough device memory" none "$hotaru" run "$work/good.hef" Hello --memory 1MiB --quiet
expect_refused "instruction set not known" none "$hotaru" run "$work/good.hef" Hello --isa altivec
code=0; "$hotaru" run "$work/good.hef" Hello --temperature -1 >/dev/null 2>&1 || code=$?
report $((code != 2)) "wrong usage ends with 2"
exit $((failures > 0))
