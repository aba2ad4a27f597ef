#!/usr/bin/env python3
"""Every header compiles alone, with the flags of the release build. That the build has shown for a header which a source file of it
includes first; the others are compiled here."""
import json
import shlex
import sys
from pathlib import Path

from cached_jobs import Job, run, tool_version
from source_tree import INCLUDE_ROOTS, ROOT, closure, cpp_files, includes, name, resolve, text

FLAGS = ["-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror", "-x", "c++",
         '-DHOTARU_SOURCE_DIR=""']  # test headers name files of the source tree
INTRINSICS = ROOT / "src/kernels/x86_intrinsics.h"  # what reaches it is compiled as its ISA's files are
INTRINSICS_FLAGS = ["-march=sapphirerapids"]


def include_flags(entries):
    """Every -I and -isystem of the release build: a header may need any floor's packages."""
    found = {}
    for entry in entries:
        words = shlex.split(entry["command"])
        for word, following in zip(words, words[1:] + [""]):
            if word == "-isystem":
                found[("-isystem", following)] = None
            elif word.startswith("-I"):
                found[(word,)] = None
    return [word for pair in found for word in pair]


def included_first(entries):
    sources = [p for e in entries if (p := Path(e["file"])).is_relative_to(ROOT / "src") and p.exists()]
    return {resolve(found[0][2]) for p in sources if (found := includes(p))}


def main():
    entries = json.loads((ROOT / "build/release/compile_commands.json").read_text())
    flags = FLAGS + [f"-I{root}" for root in INCLUDE_ROOTS] + include_flags(entries)
    shown = included_first(entries)
    headers = cpp_files(".h")
    unguarded = [h for h in headers if "#pragma once" not in text(h)]
    for header in unguarded:
        print(f"{name(header)}: no #pragma once")
    # GCC warns about '#pragma once in main file' of a header given as the source; reading it by -include does not.
    jobs = []
    for header in (h for h in headers if h not in shown):
        inputs = closure(header)
        isa_flags = INTRINSICS_FLAGS if INTRINSICS in inputs else []
        jobs.append(Job(name(header), ["g++", *flags, *isa_flags, "-include", str(header), "/dev/null"], inputs))
    sys.exit(run(jobs, tool_version("g++")) + len(unguarded) > 0)


main()
