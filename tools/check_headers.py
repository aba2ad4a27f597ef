#!/usr/bin/env python3
"""Every header compiles alone, with the flags of the release build."""
import json
import shlex
import sys

from cached_jobs import Job, run, tool_version
from source_tree import INCLUDE_ROOTS, ROOT, closure, cpp_files, name, text

FLAGS = ["-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror", "-x", "c++",
         '-DHOTARU_SOURCE_DIR=""']  # test headers name files of the source tree
INTRINSICS = ROOT / "src/kernels/x86_intrinsics.h"  # what reaches it is compiled as its ISA's files are
INTRINSICS_FLAGS = ["-march=sapphirerapids"]


def include_flags():
    """Every -I and -isystem of the release build: a header may need any floor's packages."""
    found = {}
    for entry in json.loads((ROOT / "build/release/compile_commands.json").read_text()):
        words = shlex.split(entry["command"])
        for word, following in zip(words, words[1:] + [""]):
            if word == "-isystem":
                found[("-isystem", following)] = None
            elif word.startswith("-I"):
                found[(word,)] = None
    return [word for pair in found for word in pair]


def main():
    flags = FLAGS + [f"-I{root}" for root in INCLUDE_ROOTS] + include_flags()
    headers = cpp_files(".h")
    unguarded = [h for h in headers if "#pragma once" not in text(h)]
    for header in unguarded:
        print(f"{name(header)}: no #pragma once")
    # GCC warns about '#pragma once in main file' of a header given as the source; reading it by -include does not.
    jobs = []
    for header in headers:
        inputs = closure(header)
        isa_flags = INTRINSICS_FLAGS if INTRINSICS in inputs else []
        jobs.append(Job(name(header), ["g++", *flags, *isa_flags, "-include", str(header), "/dev/null"], inputs))
    sys.exit(run(jobs, tool_version("g++")) + len(unguarded) > 0)


main()
