#!/usr/bin/env bash
# lm-evaluation-harness, unmodified, against /v1/completions of a running server: HellaSwag must come out as `hotaru eval hellaswag` has it.
# lm_eval.sh BASE_URL HEF ITEMS [COUNT]: HEF is the file behind the served model (its name without .hef), ITEMS has six lines an item
# (context, label, four endings), perhaps as .bz2. The tokenizer is that of models/demo.
set -euo pipefail
cd "$(dirname "$0")/../.."
base=${1%/} hef=$2 items=$3 count=${4:-200}
hotaru=${HOTARU:-build/release/hotaru}
model=$(basename "$hef" .hef)
python=build/lm_eval/bin/python
if [[ ! -e build/lm_eval/ready ]]; then
  python3 -m venv build/lm_eval
  build/lm_eval/bin/pip install -q "lm_eval[api]" transformers
  touch build/lm_eval/ready
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

case $items in
  *.bz2) bzcat "$items" ;;
  *) cat "$items" ;;
esac | grep -v '^[[:space:]]*$' | head -n $((6 * count)) >"$work/items.txt" || [[ ${PIPESTATUS[0]} == 141 || ${PIPESTATUS[1]} == 141 ]]

$python - "$work" <<'PY'
import json, sys
work = sys.argv[1]
lines = open(work + "/items.txt", encoding="utf-8").read().split("\n")
with open(work + "/items.jsonl", "w", encoding="utf-8") as out:
    for i in range(0, len(lines) - 5, 6):
        out.write(json.dumps({"query": lines[i], "label": int(lines[i + 1]), "choices": lines[i + 2:i + 6]}) + "\n")
PY
cat >"$work/hotaru_hellaswag.yaml" <<YAML
task: hotaru_hellaswag
dataset_path: json
dataset_kwargs: {data_files: {validation: $work/items.jsonl}}
output_type: multiple_choice
validation_split: validation
doc_to_text: "{{query}}"
doc_to_target: "{{label}}"
doc_to_choice: "choices"
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
YAML
export HF_HOME=$work/cache HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
$python -m lm_eval --model local-completions --tasks hotaru_hellaswag --include_path "$work" --batch_size 4 --log_samples \
  --output_path "$work/result" \
  --model_args "model=$model,base_url=$base/v1/completions,tokenizer=models/demo,tokenizer_backend=huggingface,num_concurrent=2,max_retries=1" \
  >"$work/log" 2>&1 || { tail -n 30 "$work/log"; exit 1; }
"$hotaru" eval hellaswag "$hef" --items "$work/items.txt" --limit "$count" --json --quiet >"$work/hotaru.json"

$python - "$work" <<'PY'
import glob, json, sys
work = sys.argv[1]
theirs = json.load(open(glob.glob(work + "/result/**/results_*.json", recursive=True)[0]))["results"]["hotaru_hellaswag"]
ours = json.load(open(work + "/hotaru.json"))
samples = [json.loads(line) for line in open(glob.glob(work + "/result/**/samples_*.jsonl", recursive=True)[0])]
worst = 0
for sample in samples:
    # [[log p, is greedy], ...] of the four endings; the harness writes numbers as strings
    given = [float(response[0][0] if isinstance(response[0], list) else response[0]) for response in sample["filtered_resps"]]
    worst = max(worst, *(abs(a - b) for a, b in zip(given, ours["scores"][sample["doc_id"]])))
failures = 0
for name in ("acc", "acc_norm"):
    good = theirs[name + ",none"] == ours[name]
    failures += not good
    print(f"{'ok' if good else 'not ok'} {name} over {len(samples)} items: lm_eval {theirs[name + ',none']}, hotaru eval {ours[name]}")
good = worst < 1e-6
failures += not good
print(f"{'ok' if good else 'not ok'} scores of the endings differ by at most {worst:.3g}")
sys.exit(failures > 0)
PY
