#!/usr/bin/env python3
"""Runs every fuzz target of a build folder, one a core at a time: run_fuzz.py BUILD SECONDS [TARGET...]. New inputs stay in
BUILD/corpus, a crashing input in BUILD/crashes; tests/data/corpus/TARGET, where it is there, seeds the target."""
import concurrent.futures
import subprocess
import sys

from source_tree import ROOT, cores


def play(program, seconds, build):
    corpus, crashes = build / "corpus" / program.name, build / "crashes"
    corpus.mkdir(parents=True, exist_ok=True)
    crashes.mkdir(parents=True, exist_ok=True)
    seeds = ROOT / "tests/data/corpus" / program.name
    command = [program, f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1",
               f"-artifact_prefix={crashes}/{program.name}-", corpus, *([seeds] if seeds.is_dir() else [])]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True, errors="replace")
    output = done.stdout + done.stderr
    runs = next((line.split()[-1] for line in output.splitlines() if "number_of_executed_units" in line), "0")
    if done.returncode != 0:
        print(output[-4000:])
    print(f"{'ok' if done.returncode == 0 else 'not ok'} {program.name}: {runs} inputs in {seconds} s", flush=True)
    return done.returncode == 0


def main():
    build, seconds, wanted = ROOT / sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    programs = sorted((build / "fuzz").glob("*_fuzz"))
    programs = [p for p in programs if not wanted or p.name in wanted]
    with concurrent.futures.ThreadPoolExecutor(cores()) as pool:
        passed = sum(pool.map(lambda p: play(p, seconds, build), programs))
    print(f"{passed} passed, {len(programs) - passed} failed")
    sys.exit(passed != len(programs) or not programs)


main()
