#!/usr/bin/env python3
"""What a grammar costs per token, in alternating rounds of `hotaru run`: free, any JSON object, a JSON schema. No test: timings are the
machine's.

usage: tools/bench_grammar.py [HEF] [--rounds N] [--tokens N] [--json]
HEF: default the demo model. HOTARU: the program; HOTARU_THREADS: its threads. Medians over the rounds."""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from live_server import DEMO, HOTARU  # noqa: E402

# Neither may end before its tokens are through.
ITEM = {"type": "object", "properties": {"name": {"type": "string"}, "kind": {"enum": ["cat", "dog", "fox"]}, "age": {"type": "integer"}},
        "required": ["name", "kind", "age"], "additionalProperties": False}
KINDS = {"free": [], "json": ["--format", "json"],
         "schema": ["--format", json.dumps({"type": "array", "items": ITEM, "minItems": 500})]}


def milliseconds_per_token(hef, tokens, more):
    command = [HOTARU, "run", str(hef), "Tell me a story.", "-n", str(tokens), "--seed", "7", "--json", "--quiet", *more]
    reply = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return 1e3 / reply["timing"]["decode_tokens_per_second"], reply["generated_tokens"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hef", nargs="?", type=pathlib.Path, default=DEMO)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    times, counts = {kind: [] for kind in KINDS}, {}
    for _ in range(options.rounds):
        for kind, more in KINDS.items():
            time, counts[kind] = milliseconds_per_token(options.hef, options.tokens, more)
            times[kind].append(time)
    shares = {kind: statistics.median(time / free for time, free in zip(times[kind], times["free"])) for kind in KINDS}
    if options.json:
        print(json.dumps({kind: {"ms_per_token": statistics.median(times[kind]), "of_free": shares[kind], "tokens": counts[kind]} for kind in KINDS}))
        return
    for kind in KINDS:
        print(f"{kind:<7} {statistics.median(times[kind]):8.3f} ms a token, {100 * (shares[kind] - 1):+.1f} % ({counts[kind]} tokens)")


main()
