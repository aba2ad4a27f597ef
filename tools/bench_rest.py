#!/usr/bin/env python3
"""What the REST API costs on top of the engine, in alternating rounds. No test: timings are the machine's.

  first token   of a streamed request, from its first byte sent to its first token read, minus the engine's own time for the prompt
                (Ollama's prompt_eval_duration); no two prompts begin alike, so that nothing is reused
  throughput    of N streaming clients at once, from each one's first token to its last, beside `hotaru bench --contexts N`

usage: tools/bench_rest.py [HEF] [--clients 1,4,8] [--rounds N] [--tokens N] [--prompt WORDS] [--json]
Medians over the rounds. HEF: default the demo model. HOTARU: the program; HOTARU_THREADS: its threads."""
import argparse
import json
import os
import pathlib
import random
import selectors
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from live_server import DEMO, HOTARU, LiveServer  # noqa: E402

WORDS = "a the fox house river went saw big little old and then one day she he they it was green run under tree sun".split()
EOS = {"4095": -100, "4093": -100}  # the demo model's ends of a reply; in other models two tokens of many


def connect(server):
    one = socket.create_connection(("127.0.0.1", server.port))
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one


def request_of(path, body):
    text = json.dumps({"model": "bench", "stream": True, **body}).encode()
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text


def first_token_ms(one, words):
    """(as the client sees it, of that the engine's own)"""
    prompt = " ".join(random.choice(WORDS) for _ in range(words))
    request = request_of("/api/generate", {"prompt": prompt, "raw": True, "options": {"num_predict": 2, "temperature": 0}})
    start = time.perf_counter()
    one.sendall(request)
    answer = one.recv(65536)
    while b"\n{" not in answer:  # behind the head and a chunk's length: the first line
        answer += one.recv(65536)
    seen = time.perf_counter() - start
    while b'"done":true' not in answer or not answer.endswith(b"0\r\n\r\n"):
        answer += one.recv(65536)
    last = [line for line in answer.splitlines() if b'"done":true' in line][0]
    return 1000 * seen, json.loads(last)["prompt_eval_duration"] / 1e6


def tokens_per_second(server, clients, tokens):
    """Of all clients together."""
    with selectors.DefaultSelector() as selector:
        first, last = {}, {}
        sent = time.perf_counter()
        sockets = [connect(server) for _ in range(clients)]
        for one in sockets:
            selector.register(one, selectors.EVENT_READ)
        for one in sockets:
            one.sendall(request_of("/v1/completions", {"prompt": [random.randrange(300, 900) for _ in range(4)], "max_tokens": tokens,
                                                       "temperature": 0, "logit_bias": EOS}))
        while len(last) < clients:
            for key, _ in selector.select():
                part = key.fileobj.recv(65536)
                now = time.perf_counter()
                if b"data: {" in part:
                    first.setdefault(key.fileobj, now)
                if b"data: [DONE]" in part or not part:
                    last[key.fileobj] = now
                    selector.unregister(key.fileobj)
        for one in sockets:
            one.close()
    # A reply that came in one piece has no first token of its own: then it is timed from the asking.
    return sum((tokens - 1) / (last[one] - (first[one] if first[one] < last[one] else sent)) for one in sockets)


def engine_tokens_per_second(hef, clients):
    command = [HOTARU, "bench", str(hef), "--contexts", *map(str, clients), "--prompt", "8", "--depth", "0", "--repeat", "3", "--json", "--quiet"]
    done = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {int(count): rate for count, rate in done["aggregate_tokens_per_second"].items()}, done["cpu"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hef", nargs="?", type=pathlib.Path, default=DEMO)
    parser.add_argument("--clients", default="1,4,8")
    for name, value in [("rounds", 5), ("tokens", 128), ("prompt", 32)]:
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    clients = [int(count) for count in options.clients.split(",")]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hotaru_bench_"))
    overhead, prompt, engine, rest = [], [], {n: [] for n in clients}, {n: [] for n in clients}
    try:
        (folder / "bench.hef").symlink_to(options.hef.resolve())
        with LiveServer("--quiet", models=folder) as server, connect(server) as one:
            first_token_ms(one, options.prompt)
            for i in range(options.rounds):
                for _ in range(10):
                    seen, own = first_token_ms(one, options.prompt)
                    overhead.append(seen - own)
                    prompt.append(own)
                rates, cpu = engine_tokens_per_second(options.hef, clients)
                for count in clients:
                    engine[count].append(rates[count])
                    rest[count].append(statistics.median(tokens_per_second(server, count, options.tokens) for _ in range(3)))
                print(f"round {i + 1} of {options.rounds}, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    finally:
        shutil.rmtree(folder)
    overhead.sort()
    result = {"cpu": cpu, "prompt_ms": statistics.median(prompt), "first_token_overhead_ms": statistics.median(overhead),
              "first_token_overhead_p10_ms": overhead[len(overhead) // 10],
              "first_token_overhead_p90_ms": overhead[len(overhead) * 9 // 10],
              "throughput": {count: {"engine": statistics.median(engine[count]), "rest": statistics.median(rest[count]),
                                     "share": statistics.median(r / e for r, e in zip(rest[count], engine[count]))} for count in clients}}
    if options.json:
        print(json.dumps(result))
        return
    print(f"{cpu}, {options.rounds} rounds\nfirst token: {result['first_token_overhead_ms']:.2f} ms above the engine's {result['prompt_ms']:.2f} ms "
          f"(a tenth below {result['first_token_overhead_p10_ms']:.2f} ms, a tenth above {result['first_token_overhead_p90_ms']:.2f} ms)")
    for count, figures in result["throughput"].items():
        print(f"{count} clients: {figures['rest']:.0f} tokens/s, the engine alone {figures['engine']:.0f}: {100 * figures['share']:.1f} %")


main()
