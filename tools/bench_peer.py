#!/usr/bin/env python3
"""Hotaru beside llama.cpp on the shape of Qwen2-1.5B, in turns, in one run.

usage: tools/bench_peer.py DIR [--isa ISA] [--threads N] [--rounds N] [--prompt 96,512] [--depth 0,2000] [--json]

DIR keeps what is fetched (the npm package node-llama-cpp, for its libraries) and made (0.9 GB of random weights in
GGUF). llama.cpp gets its build for the instruction set that Hotaru uses. Every round runs both; figures are medians over
the rounds, ratios are Hotaru's time divided by llama.cpp's.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

TOOLS = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(TOOLS)
sys.path.insert(0, os.path.join(TOOLS, "peer"))
import gguf  # noqa: E402

PACKAGE = "node-llama-cpp@3.22.1"
LIBRARIES = "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64"
SHAPE = os.path.join(TOOLS, "peer", "qwen2_shape.json")
HOTARU = os.path.join(ROOT, "build", "release", "hotaru")


def llamacpp_build(isa):
    """The library that uses the same instructions."""
    if isa == "avx512_vnni":
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return "zen4" if "avx512_bf16" in file.read() else "icelake"
    return {"ref": "x64", "avx2": "haswell", "avx_vnni": "alderlake", "amx": "sapphirerapids"}[isa]


def prepare(folder):
    """The harness and the model; the paths of both."""
    os.makedirs(folder, exist_ok=True)
    libraries = os.path.join(folder, LIBRARIES)
    if not os.path.isdir(libraries):
        print(f"fetching {PACKAGE}", file=sys.stderr)
        subprocess.run(["npm", "install", "--silent", "--ignore-scripts", "--prefix", folder, PACKAGE], check=True)
    harness = os.path.join(folder, "llamacpp_bench")
    source = os.path.join(TOOLS, "peer", "llamacpp_bench.cc")
    if not os.path.exists(harness) or os.path.getmtime(harness) < os.path.getmtime(source):
        names = ("libllama.v0.5.0.so", "libggml.v0.5.0.so", "libggml-base.so")
        links = [f"-l:{name}" for name in names]
        rpath = f"-Wl,-rpath,$ORIGIN/{LIBRARIES}"
        subprocess.run(["g++", "-std=c++20", "-O2", source, "-o", harness, f"-L{libraries}", *links, rpath], check=True)
    model = os.path.join(folder, "qwen2-1.5b-q4_0.gguf")
    if not os.path.exists(model):
        print("writing a GGUF of random weights", file=sys.stderr)
        gguf.write(SHAPE, model + ".part")
        os.replace(model + ".part", model)
    return harness, model


def warm(path):
    """Reads the file, as `hotaru bench` does with its own before it measures a load."""
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 24):
            pass


def run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE)
    if done.returncode != 0:  # it has said why
        sys.exit(f"bench_peer: {command[0]} ended with {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def run_hotaru(arguments, prompts, depths):
    command = [HOTARU, "bench", "--shape", SHAPE, "--json", "--quiet", "--repeat", "3", "--contexts", "1"]
    command += ["--prompt", prompts, "--depth", depths]
    if arguments.isa:
        command += ["--isa", arguments.isa]
    if arguments.threads:
        command += ["--threads", str(arguments.threads)]
    return run(command)


def rows(ours, theirs):
    """(what, Hotaru's median, llama.cpp's median, unit)"""
    for name, what in (("ttft_ms", "first token after"), ("decode_ms", "a token at depth")):
        for key in ours[0][name]:
            pair = [statistics.median(found[name][key] for found in all_found) for all_found in (ours, theirs)]
            yield f"{what} {key}", *pair, "ms"
    yield "load", *(statistics.median(found["load_ms"] for found in all_found) for all_found in (ours, theirs)), "ms"
    sizes = (max(found["peak_rss_bytes"] for found in all_found) / 2**20 for all_found in (ours, theirs))
    yield "peak resident", *sizes, "MiB"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", metavar="DIR")
    parser.add_argument("--isa", default="")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompt", default="96,512")
    parser.add_argument("--depth", default="0,2000")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    harness, model = prepare(os.path.abspath(arguments.folder))
    ours, theirs = [], []
    for turn in range(arguments.rounds):
        print(f"round {turn + 1} of {arguments.rounds}", file=sys.stderr)
        ours.append(run_hotaru(arguments, arguments.prompt, arguments.depth))
        build = llamacpp_build(ours[0]["isa"])
        backend = os.path.join(arguments.folder, LIBRARIES, f"libggml-cpu-{build}.so")
        threads = str(ours[0]["threads"])
        warm(model)
        theirs.append(run([harness, model, backend, threads, "3", arguments.prompt, arguments.depth]))
    facts = {key: ours[0][key] for key in ("cpu", "commit", "isa", "threads")}
    # What a plain read got while Hotaru's part ran: where memory is slow, both wait for the same bytes.
    bandwidth = statistics.median(found["memory_bandwidth_bytes_per_second"] for found in ours)
    table = list(rows(ours, theirs))
    if arguments.json:
        figures = {what: {"hotaru": mine, "llamacpp": other, "unit": unit} for what, mine, other, unit in table}
        run_facts = {"llamacpp_build": build, "rounds": arguments.rounds, "memory_bandwidth_bytes_per_second": bandwidth}
        print(json.dumps(facts | run_facts | {"figures": figures}))
        return
    print(f"{facts['cpu']}, {facts['threads']} threads; Hotaru {facts['commit']} {facts['isa']}, llama.cpp {build}")
    print(f"memory: {bandwidth / 1e9:.1f} GB/s read")
    print(f"{'':24}{'Hotaru':>12}{'llama.cpp':>12}{'ratio':>8}")
    for what, mine, other, unit in table:
        print(f"{what:24}{mine:9.1f} {unit:3}{other:8.1f} {unit:3}{mine / other:7.2f}x")


if __name__ == "__main__":
    main()
