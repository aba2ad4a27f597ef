#!/usr/bin/env python3
"""clang-tidy over the release build's compile commands. A file whose content, headers and flags passed is not run again."""
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from cached_jobs import CACHE, Job, run, tool_version
from source_tree import ROOT, closure, name

FOLDER = ROOT / "tools/tidy"
# Tests get the checks that matter there.
TEST_CHECKS = "-*,readability-identifier-naming,readability-function-size,performance-for-range-copy,modernize-use-override"
SCOPE = "hotaru-project-scope"
# Ours, wherever the tree lies: of a clone in ~/src/hotaru, /src/ would be the generated headers too.
HEADERS = f"^{re.escape(str(ROOT))}/(src|include)/"
WANTED = re.compile(r"// ([a-z]+-[a-z-]+)$")
FOUND = re.compile(r"^\S+?:(\d+):\d+: (?:warning|error): .*\[([^\],]+)")


def plugin():
    """project_scope.cc as a shared object, or None where clang-tidy's own headers are not installed."""
    source, built = FOLDER / "project_scope.cc", CACHE / "project_scope.so"
    include = Path(shutil.which("clang-tidy")).resolve().parent.parent / "include"
    if not (include / "clang-tidy/ClangTidyCheck.h").exists() or not (include / "llvm/ADT/StringRef.h").exists():
        print("libclang-dev and llvm-dev are not installed: clang-tidy walks the system's headers too, in twice the time")
        return None
    if not built.exists() or built.stat().st_mtime < source.stat().st_mtime:
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["g++", "-std=c++17", "-fno-rtti", "-fPIC", "-shared", "-isystem", include, "-o", built, source], check=True)
    return built


def command_of(path, loaded, checks=""):
    scope = [f"-load={loaded}"] if loaded else []
    checks = ",".join([checks] * bool(checks) + [SCOPE] * bool(loaded))
    return ["clang-tidy", "--quiet", f"--header-filter={HEADERS}", *scope, *([f"--checks={checks}"] if checks else []), str(path)]


def job_of(entry, loaded):
    path = Path(entry["file"])
    checks = TEST_CHECKS if path.stem.endswith("_test") else ""
    inputs = [ROOT / ".clang-tidy", *FOLDER.iterdir(), *closure(path)]
    return Job(name(path), command_of(path, loaded, checks) + ["-p", "build/release"], inputs)


def finds_what_it_should(loaded):
    path = FOLDER / "findings.cc"
    lines = path.read_text().splitlines()
    wanted = {(i, m.group(1)) for i, line in enumerate(lines, 1) if (m := WANTED.search(line))}
    output = subprocess.run(command_of(path, loaded) + ["--", "-std=c++20"], cwd=ROOT, capture_output=True, text=True).stdout
    found = {(int(m.group(1)), m.group(2)) for line in output.splitlines() if (m := FOUND.match(line))}
    for line, check in sorted(wanted - found):
        print(f"{name(path)}:{line}: clang-tidy does not find {check}")
    for line, check in sorted(found - wanted):
        print(f"{name(path)}:{line}: clang-tidy finds {check}, which the line does not name")
    return wanted == found


def main():
    entries = json.loads((ROOT / "build/release/compile_commands.json").read_text())
    entries = [e for e in entries if Path(e["file"]).is_relative_to(ROOT / "src") and Path(e["file"]).exists()]
    wanted = sys.argv[1:]
    entries = [e for e in entries if not wanted or any(w in e["file"] for w in wanted)]
    flags = "".join(sorted({e["command"] for e in entries}))
    loaded = plugin()
    is_sound = finds_what_it_should(loaded)
    failures = run([job_of(e, loaded) for e in entries], tool_version("clang-tidy") + flags)
    sys.exit(failures > 0 or not is_sound)


main()
