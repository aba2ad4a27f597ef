#!/usr/bin/env python3
"""File names: snake_case, and none that says nothing. Text: nothing that is true of one machine only."""
import re
import subprocess
import sys

from source_tree import ROOT

EMPTY_WORDS = {"util", "utils", "common", "misc", "manager", "helper", "helpers", "stuff"}
SNAKE_CASE = re.compile(r"^[a-z0-9_]+(\.[a-z]+)+$")
# Home folders, this project's usual work places, addresses other than loopback.
ONE_MACHINE = re.compile(r"(?<![\w.])/(work|root|home|Users|mnt|var/tmp)/[\w.-]+|\b(?!127\.|0\.0\.0\.0|255\.)(?:10|172|192|100)(?:\.\d{1,3}){3}\b")
TEXT_SUFFIXES = {".cc", ".h", ".py", ".sh", ".md", ".txt", ".json", ".cmake", ".rs", ".toml", ".fbs", ".inc", ".lock", ""}


def tracked_files():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / f for f in listed.stdout.split("\0") if f and (ROOT / f).is_file()]


def complaints(path):
    relative = path.relative_to(ROOT)
    if set(re.split(r"[_.\-/]", str(relative).lower())) & EMPTY_WORDS:
        yield f"{relative}: a name that says nothing ({', '.join(sorted(EMPTY_WORDS))})"
    if relative.parts[0] in ("src", "include", "tools") and not SNAKE_CASE.match(path.name):
        yield f"{relative}: want snake_case"
    if path.suffix not in TEXT_SUFFIXES or relative.parts[0] == "models" or "data" in relative.parts:
        return
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if path.name != "check_names.py" and (found := ONE_MACHINE.search(line)):
            yield f"{relative}:{number}: '{found.group()}' is true of one machine only"


def main():
    files = tracked_files()
    found = [c for path in files for c in complaints(path)]
    print("\n".join(found + [f"{len(files)} files, {len(found)} complaints"]))
    sys.exit(len(found) > 0)


main()
