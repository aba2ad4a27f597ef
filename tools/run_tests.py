#!/usr/bin/env python3
"""Runs the test programs of a build folder, one a core at a time, and prints 'N passed, N failed' over their cases."""
import concurrent.futures
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from source_tree import ROOT, cores

# The kernel maps programs where GCC 12's thread sanitizer cannot; without address randomisation it can.
SANITIZER_OPTIONS = {"TSAN_OPTIONS": "halt_on_error=1", "UBSAN_OPTIONS": "print_stacktrace=1"}


def play(program, folder, is_tsan):
    """(passed, failed) of one program; one that dies without a report counts as one failure."""
    report = Path(folder) / (program.name + ".xml")
    prefix = ["setarch", "-R"] if is_tsan else []
    start = time.monotonic()
    done = subprocess.run([*prefix, str(program), f"--gtest_output=xml:{report}", "--gtest_brief=1"], cwd=ROOT,
                          env={**SANITIZER_OPTIONS, **os.environ}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          errors="replace")
    passed = failed = 0
    if report.exists():
        root = ElementTree.parse(report).getroot()
        failed = int(root.get("failures")) + int(root.get("errors"))
        skipped = sum(case.find("skipped") is not None for case in root.iter("testcase"))
        passed = int(root.get("tests")) - failed - int(root.get("disabled")) - skipped
    if done.returncode != 0 and failed == 0:
        failed = 1
    if failed:
        print(done.stdout + done.stderr)
    print(f"{'not ok' if failed else 'ok'} {program.name}: {passed} passed, {failed} failed, "
          f"{time.monotonic() - start:.1f} s", flush=True)
    return passed, failed


def main():
    build = ROOT / sys.argv[1]
    programs = [p for p in build.glob("*_test") if os.access(p, os.X_OK)]
    programs.sort(key=lambda p: -p.stat().st_size)  # the largest run longest
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(cores()) as pool:
        counts = list(pool.map(lambda p: play(p, folder, build.name == "tsan"), programs))
    passed, failed = sum(c[0] for c in counts), sum(c[1] for c in counts)
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0 or passed == 0)


main()
