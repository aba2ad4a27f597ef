#!/usr/bin/env python3
"""./dev check [STEP...]: every check and every test, each step with its time; closes with 'N passed, N failed'."""
import concurrent.futures
import re
import subprocess
import sys
import time
from pathlib import Path

from source_tree import ROOT, cores


def cargo_test():
    return ["cargo", "test", "--release", "--locked", "--quiet", "--manifest-path", "rust/hotaru_text/Cargo.toml",
            "--target-dir", "build/rust"]


# The commands of one step run side by side, as many as there are cores.
STEPS = {
    "format": [["tools/check_format.py"]],
    "floors": [["tools/check_floors.py"]],
    "sizes": [["tools/check_sizes.py"]],
    "names": [["tools/check_names.py"]],
    "build": [["./dev", "build"]],
    "weak-symbols": [["tools/check_weak_symbols.py"]],
    "headers": [["tools/check_headers.py"]],
    "tidy": [["tools/check_tidy.py"]],
    "rust": [cargo_test()],
    "tests": [["tools/run_tests.py", "build/release"]],
    "scripts": [[str(p)] for p in sorted((ROOT / "tests").glob("*.sh"))],
    "fuzz": [["./dev", "fuzz", "smoke"]],
}
# What a step's own output may say about its cases: ours and GoogleTest's by run_tests.py, cargo's, a script's lines.
SUM = re.compile(r"^(\d+) passed, (\d+) failed$|^test result: \w+\. (\d+) passed; (\d+) failed", re.M)
CASE = re.compile(r"^(not )?ok ", re.M)
FAILED_CASE = re.compile(r"^(?:not ok .*|\[  FAILED  \] \S+\.\S+.*|test .* FAILED)$", re.M)
PROGRESS = re.compile(r"^\[\d+/\d+\] .*\n", re.M)  # ninja's


def count(output, is_good):
    """(passed, failed) as the output says it; a step that says nothing is one case."""
    if sums := SUM.findall(output):
        passed = sum(int(a or c) for a, _, c, _ in sums)
        failed = sum(int(b or d) for _, b, _, d in sums)
    else:
        cases = CASE.findall(output)
        failed = sum(bool(case) for case in cases)
        passed = len(cases) - failed
    if not is_good and failed == 0:
        failed = 1
    if is_good and passed == 0:
        passed = 1
    return passed, failed


def play(command):
    """The output of one command of a step, printed as a whole; its (passed, failed) and the lines that say what failed."""
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace")
    shown = SUM.sub("", done.stdout if done.returncode else PROGRESS.sub("", done.stdout)).strip()
    if shown:
        print(shown, flush=True)
    passed, failed = count(done.stdout, done.returncode == 0)
    said = FAILED_CASE.findall(done.stdout)
    if failed and not said:  # a script that broke off
        said = [f"{' '.join(command)}: exit {done.returncode}", *shown.splitlines()[-3:]]
    return passed, failed, [f"{Path(command[0]).name}: {line}" for line in said]


def main():
    if "--list" in sys.argv:
        print(*STEPS)
        return
    chosen = sys.argv[1:]
    unknown = set(chosen) - set(STEPS)
    if unknown:
        sys.exit(f"no step {sorted(unknown)}; there are: {', '.join(STEPS)}")
    passed = failed = 0
    said = []
    for step in chosen or STEPS:
        start = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(cores()) as pool:
            counts = list(pool.map(play, STEPS[step]))
        good, bad = sum(c[0] for c in counts), sum(c[1] for c in counts)
        print(f"== {step}: {'FAILED' if bad else 'good'}, {time.monotonic() - start:.1f} s", flush=True)
        passed, failed = passed + good, failed + bad
        said += [f"{step}: {line}" for c in counts for line in c[2]]
    print(*said, sep="\n", end="\n" if said else "")
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
