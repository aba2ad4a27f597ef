#!/usr/bin/env bash
# Conversations in files, through the real program: a reply is cut at every token and goes on in another process, with other
# instructions and threads; a chat goes on with its messages; what does not fit is refused; a full context says so.
set -euo pipefail
cd "$(dirname "$0")/.."
hotaru=${HOTARU:-build/release/hotaru}
hef=tests/data/hef/demo-v1.hef
tokens=${TOKENS:-16}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

source tests/shell/cases.sh
ids() { python3 -c 'import json, sys; print(*json.load(sys.stdin)["token_ids"])'; }
run() { "$hotaru" run "$hef" "$@" --quiet; }

isas=($("$hotaru" --version | sed -n 's/^available here: //p'))
whole=$(run "Tell me a story." --seed 7 -n "$tokens" --json | ids)
for ((cut = 1; cut < tokens; cut++)); do
  isa=${isas[$((cut % ${#isas[@]}))]}
  first=$(run "Tell me a story." --seed 7 -n $cut --json --save-context "$work/cut" | ids)
  rest=$(run --load-context "$work/cut" --resume -n $((tokens - cut)) --json --isa "$isa" --threads $((cut % 3 + 1)) | ids)
  check "cut after token $cut, resumed with $isa and $((cut % 3 + 1)) threads" test "$first $rest" = "$whole"
done

# A chat in two processes says what it says in one.
run "Tell me a story." --system "Be brief." --seed 7 -n 12 --save-context "$work/one" >"$work/log"
check "a loaded chat goes on" run "And then?" --load-context "$work/one" --seed 8 -n 12 --save-context "$work/two"
prompt() { python3 -c 'import json, sys; print(len(json.load(sys.stdin)["prompt_token_ids"]))'; }
long=$(run "And then?" --load-context "$work/one" --seed 8 -n 1 --json | prompt)
short=$(run "And then?" --seed 8 -n 1 --json | prompt)
check "its prompt has the messages before: $long tokens, $short without" test "$long" -gt $((short + 15))
check "the file follows what is used: $(stat -c %s "$work/one") then $(stat -c %s "$work/two") bytes" \
  test "$(stat -c %s "$work/two")" -ge "$(stat -c %s "$work/one")"

# Refused.
printf 'no context\n' >"$work/text"
head -c 1000 "$work/one" >"$work/half"
check "a file that is none" refused "$work/text" "$hotaru" run "$hef" hi --load-context "$work/text"
check "half a file" refused "$work/half" "$hotaru" run "$hef" hi --load-context "$work/half"
check "no file" refused "$work/nothing" "$hotaru" run "$hef" hi --load-context "$work/nothing"
check "a HEF" refused "$hef" "$hotaru" run "$hef" hi --load-context "$hef"
run "Hello" -n 0 --save-context "$work/prompt" >"$work/log"
check "nothing was cut" refused "no cut reply" "$hotaru" run "$hef" --load-context "$work/prompt" --resume
code=0
"$hotaru" run "$hef" --resume >"$work/stdout" 2>&1 </dev/null || code=$?
check "--resume needs --load-context" test $code == 2

# Full: 2,048 tokens, of which the prompt takes 2,040. The end of turn is forbidden.
full=(--prompt-ids "$(seq -s, 100 2139)" --seed 1 -n 30 --logit-bias 4095=-inf --json)
status() { python3 -c 'import json, sys; reply = json.load(sys.stdin); print(reply["status"], reply["generated_tokens"])'; }
check "full: stop" test "$(run "${full[@]}" --when-full stop | status)" = "context_full 9"
check "full: shift" test "$("$hotaru" run "$hef" "${full[@]}" --when-full shift 2>"$work/stderr" | status)" = "max_tokens 30"
check "full: shift says so" grep -q "its oldest tokens were forgotten, 1 time" "$work/stderr"
check "full: error" refused "context is full" "$hotaru" run "$hef" "${full[@]}" --when-full error --quiet

# What contexts cost: the figures are printed, the bounds have room for a busy machine.
"$hotaru" bench "$hef" --context-costs 1000 --json --quiet >"$work/costs"
cost() {  # cost NAME CONDITION FIGURE: Python over the measured names
  local figure
  figure=$(python3 -c 'import json, sys; print(eval(sys.argv[2], json.load(open(sys.argv[1]))["context_costs"]))' "$work/costs" "$3")
  check "$1: $figure" \
    python3 -c 'import json, sys; sys.exit(not eval(sys.argv[2], json.load(open(sys.argv[1]))["context_costs"]))' "$work/costs" "$2"
}
cost "restored, times as fast as prefilled" "prefill_ms >= 20 * restore_ms" "round(prefill_ms / restore_ms)"
cost "the file, of its pages" "page_bytes <= file_bytes <= 1.02 * page_bytes" "round(file_bytes / page_bytes, 4)"
cost "a fork holds more, bytes, and when both have gone on" "fork_bytes == 0 and parted_bytes <= page_bytes / 8" "(fork_bytes, parted_bytes)"
cost "begun alike: tokens reused, times as fast" "reused_tokens == 960 and reuse_ms < prefill_ms / 2" \
  "(reused_tokens, round(prefill_ms / reuse_ms))"
cost "a reply's longest wait beside a prefill, of the longest chunk" "longest_stall_ms < prefill_ms" \
  "round(longest_stall_ms / longest_chunk_ms, 2)"
exit $((failures > 0))
