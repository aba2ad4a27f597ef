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

source tests/shell/cases.sh

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

# Adapters. Whatever is wrong with one, the HAR keeps its bytes.
adapter() {  # adapter NAME PYTHON-STATEMENT on `c` (its config), `t` (name -> entry) and `data` (bytearray)
  rm -rf "$work/adapter" "$work/out.har"; cp -r tests/data/lora/holmes "$work/adapter"; chmod -R u+w "$work/adapter"
  python3 - "$work/adapter" "$2" <<'PY'
import json, struct, sys
config, tensors = sys.argv[1] + "/adapter_config.json", sys.argv[1] + "/adapter_model.safetensors"
c, raw = json.load(open(config)), open(tensors, "rb").read()
n = struct.unpack("<Q", raw[:8])[0]
t, data = json.loads(raw[8:8 + n]), bytearray(raw[8 + n:])
first = next(k for k in t if k.endswith("lora_A.weight"))
place = t[first]["data_offsets"][0]
exec(sys.argv[2])
json.dump(c, open(config, "w"))
head = json.dumps(t).encode()
open(tensors, "wb").write(struct.pack("<Q", len(head)) + head + data)
PY
  expect_refused "adapter: $1" "$work/out.har" "$hotaru" lora add "$work/good.har" "$work/adapter" -o "$work/out.har" --quiet
}
cp "$work/good.har" "$work/before.har"
adapter "rank negative" 'c["r"] = -8'
adapter "rank a string" 'c["r"] = "8"'
adapter "rank huge" 'c["r"] = 1 << 40'
adapter "alpha a list" 'c["lora_alpha"] = [16]'
adapter "alpha not finite" 'c["lora_alpha"] = float("nan")'
adapter "rank pattern a list" 'c["rank_pattern"] = [1]'
adapter "targets a number" 'c["target_modules"] = 7'
adapter "targets of another model" 'c["target_modules"] = ["query_key_value"]'
adapter "DoRA" 'c["use_dora"] = True'
adapter "another kind" 'c["peft_type"] = "PREFIX_TUNING"'
adapter "NaN" 'data[place:place + 4] = b"\0\0\xc0\x7f"'
adapter "infinity" 'data[place:place + 4] = b"\0\0\x80\x7f"'
adapter "shape of another model" 't[first]["shape"] = t[first]["shape"][::-1]'
adapter "tensor missing" 't["other"] = t.pop(first)'
adapter "tensors cut" 'del data[len(data) // 2:]'
echo '[]' >"$work/adapter/adapter_config.json"
expect_refused "adapter: config of the wrong type" none "$hotaru" lora add "$work/good.har" "$work/adapter" --quiet
echo '{"r": 8,' >"$work/adapter/adapter_config.json"
expect_refused "adapter: cut JSON" none "$hotaru" lora add "$work/good.har" "$work/adapter" --quiet
rm "$work/adapter/adapter_config.json"
expect_refused "adapter: no config" none "$hotaru" lora add "$work/good.har" "$work/adapter" --quiet
expect_refused "adapter: no such folder" none "$hotaru" lora add "$work/good.har" "$work/nowhere" --quiet
expect_refused "adapter: a file" none "$hotaru" lora add "$work/good.har" models/demo/config.json --quiet
expect_refused "adapter: a path for a name" none "$hotaru" lora add "$work/good.har" tests/data/lora/holmes --name ../x --quiet
expect_refused "adapter: no such HAR" none "$hotaru" lora add "$work/nowhere.har" tests/data/lora/holmes --quiet
expect_refused "adapter: to a HEF" "$work/out.har" "$hotaru" lora add "$work/good.hef" tests/data/lora/holmes -o "$work/out.har" --quiet
expect_refused "adapter: no calibration text" "$work/out.har" "$hotaru" lora add "$work/good.har" tests/data/lora/holmes \
  --calibration "$work/nowhere.txt" -o "$work/out.har" --quiet
expect_refused "adapter: no place to write" none "$hotaru" lora add "$work/good.har" tests/data/lora/holmes -o "$work/no/out.har" --quiet
report $(cmp -s "$work/before.har" "$work/good.har" && echo 0 || echo 1) "after all that the HAR has its bytes"

# Evaluation: models, texts, ids and items.
fresh_checkpoint
novels=tests/data/text/novels.txt items=tests/data/text/hellaswag.txt
head -c 300 /dev/urandom >"$work/noise"
: >"$work/empty"
expect_refused "eval: no such model" none "$hotaru" eval ppl "$work/nowhere" --text $novels --quiet
expect_refused "eval: a text for a model" none "$hotaru" eval ppl $novels --text $novels --quiet
expect_refused "eval: no such text" none "$hotaru" eval ppl models/demo --text "$work/nowhere" --quiet
expect_refused "eval: a folder for a text" none "$hotaru" eval ppl models/demo --text "$work" --quiet
expect_refused "eval: a text that is not UTF-8" none "$hotaru" eval ppl models/demo --text "$work/noise" --segment 8 --quiet
expect_refused "eval: an empty text" none "$hotaru" eval ppl models/demo --text "$work/empty" --quiet
expect_refused "eval: a text of too few tokens" none "$hotaru" eval ppl "$work/good.hef" --text models/demo/config.json --quiet
expect_refused "eval: ids beyond the vocabulary" none "$hotaru" eval logits models/demo --ids 1,4096 --quiet
expect_refused "eval: negative ids" none "$hotaru" eval logits "$work/good.hef" --ids 1,-2 --quiet
expect_refused "eval: more ids than positions" none "$hotaru" eval logits "$work/good.hef" --ids "$(seq -s, 1 2100)" --quiet
expect_refused "eval: no place for logits" none "$hotaru" eval logits models/demo --ids 1 -o "$work/no/l.safetensors" --quiet
expect_refused "eval: no such adapter" none "$hotaru" eval ppl models/demo --text $novels --lora "$work/nowhere" --quiet
expect_refused "eval: a HEF without adapters" none "$hotaru" eval ppl "$work/good.hef" --text $novels --lora holmes --quiet
expect_refused "eval: two vocabularies" none "$hotaru" eval compare tests/data/models/random-mistral "$work/good.hef" --text $novels --quiet
expect_refused "eval: no such items" none "$hotaru" eval hellaswag models/demo --items "$work/nowhere" --quiet
expect_refused "eval: no items" none "$hotaru" eval hellaswag models/demo --items "$work/empty" --quiet
expect_refused "eval: a model without a tokenizer" none "$hotaru" eval hellaswag tests/data/models/random-mistral --items $items --quiet
items() {  # items NAME PYTHON-STATEMENT on `i`, an item of the data set
  python3 - "$2" >"$work/items.jsonl" <<'PY'
import json, sys
i = {"activity_label": "Roofing", "ctx_a": "A man is on a roof.", "ctx_b": "he", "endings": ["a", "b", "c", "d"], "label": "3"}
exec(sys.argv[1])
print(json.dumps(i))
PY
  expect_refused "items: $1" none "$hotaru" eval hellaswag models/demo --items "$work/items.jsonl" --quiet
}
items "a number for a context" 'i["ctx_a"] = 5'
items "three endings" 'i["endings"].pop()'
items "endings that are numbers" 'i["endings"] = [1, 2, 3, 4]'
items "endings a string" 'i["endings"] = "abcd"'
items "a label of none" 'i["label"] = "4"'
items "a label of words" 'i["label"] = "third"'
items "a label missing" 'del i["label"]'
items "a list for an item" 'i = [i]'
items "cut" 'print("{\"ctx_a\": "); sys.exit()'
head -n 8 $items >"$work/items.txt"
expect_refused "items: cut between lines" none "$hotaru" eval hellaswag models/demo --items "$work/items.txt" --quiet
python3 - "$work/model/model.safetensors" <<'PY'
import struct, sys
with open(sys.argv[1], "r+b") as f:
    n = struct.unpack("<Q", f.read(8))[0]
    f.seek(-1000, 2)
    f.write(b"\xff\xff" * 100)
PY
expect_refused "eval: NaN weights" none "$hotaru" eval ppl "$work/model" --text $novels --quiet
expect_refused "eval: NaN weights, logits" "$work/l" "$hotaru" eval logits "$work/model" --ids 1,2 -o "$work/l" --quiet

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
