#!/usr/bin/env python3
"""clang-tidy over the release build's compile commands. A file whose content, headers and flags passed is not run again."""
import json
import sys
from pathlib import Path

from cached_jobs import Job, run, tool_version
from source_tree import ROOT, closure, name

# Each check walks GoogleTest's headers too, so tests get those that matter there.
TEST_CHECKS = "--checks=-*,readability-identifier-naming,readability-function-size,performance-for-range-copy,modernize-use-override"


def job_of(entry):
    path = Path(entry["file"])
    command = ["clang-tidy", "--quiet", "-p", "build/release"]
    if path.stem.endswith("_test"):
        command.append(TEST_CHECKS)
    return Job(name(path), command + [str(path)], [ROOT / ".clang-tidy", *closure(path)])


def main():
    entries = json.loads((ROOT / "build/release/compile_commands.json").read_text())
    entries = [e for e in entries if Path(e["file"]).is_relative_to(ROOT / "src") and Path(e["file"]).exists()]
    wanted = sys.argv[1:]
    entries = [e for e in entries if not wanted or any(w in e["file"] for w in wanted)]
    flags = "".join(sorted({e["command"] for e in entries}))
    sys.exit(run([job_of(e) for e in entries], tool_version("clang-tidy") + flags) > 0)


main()
