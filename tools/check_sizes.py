#!/usr/bin/env python3
"""Files up to 500 lines, functions up to 70. --largest PROGRAM prints the ten largest of each and the program's size.
(At most five parameters: clang-tidy, readability-function-size.)"""
import re
import sys
from pathlib import Path

from source_tree import ROOT, cpp_files, name, text

FILE_LINES = 500
FUNCTION_LINES = 70
OTHER_FILES = ["dev", ".ci/run", "CMakeLists.txt"]
NOT_A_FUNCTION = re.compile(r"^\s*(namespace|extern|class|struct|union|enum|template\s*<[^(]*>\s*(class|struct)|#|//|\}|public|private)")
NAME = re.compile(r"([A-Za-z_~][\w:~]*|operator\S+)\s*\(")


def functions(path):
    """(lines, name, first line) of each function. The files are formatted by clang-format, so a body that opens at the
    end of a line closes with a brace at the indentation where its declaration began."""
    lines = text(path).splitlines()
    start = 0
    while start < len(lines):
        line = lines[start]
        indent = len(line) - len(line.lstrip())
        if indent > 4 or not NAME.search(line) or NOT_A_FUNCTION.match(line):
            start += 1
            continue
        opening = next((i for i in range(start, len(lines)) if lines[i].rstrip().endswith(("{", ";", "}"))), len(lines) - 1)
        if not lines[opening].rstrip().endswith("{"):
            start = opening + 1
            continue
        closing = next((i for i in range(opening + 1, len(lines)) if re.match(rf"^ {{{indent}}}\}}", lines[i])), opening)
        yield closing - start + 1, NAME.search(line).group(1), start + 1
        start = max(closing, opening) + 1


def other_files():
    patterns = ("cmake/*", "tools/*", "tests/*.sh", "rust/hotaru_text/src/*.rs", "src/format/*.fbs", "rust/hotaru_text/include/*.h")
    return [ROOT / f for f in OTHER_FILES] + [p for pattern in patterns for p in sorted(ROOT.glob(pattern)) if p.is_file()]


def main():
    files = [(len(text(p).splitlines()), p) for p in cpp_files() + other_files()]
    bodies = [(lines, f"{name(path)}:{first} {function}") for path in cpp_files() for lines, function, first in functions(path)]
    if "--largest" in sys.argv:
        for lines, path in sorted(files, reverse=True)[:10]:
            print(f"{lines:5} lines  {name(path)}")
        print()
        for lines, where in sorted(bodies, reverse=True)[:10]:
            print(f"{lines:5} lines  {where}")
        program = Path(sys.argv[-1])
        if program.is_file():
            print(f"\n{program.stat().st_size:,} bytes  {program}")
        return
    complaints = [f"{name(p)}: {lines} lines, want at most {FILE_LINES}" for lines, p in files if lines > FILE_LINES]
    complaints += [f"{where}: {lines} lines, want at most {FUNCTION_LINES}" for lines, where in bodies if lines > FUNCTION_LINES]
    print("\n".join(complaints + [f"{len(files)} files, {len(bodies)} functions, {len(complaints)} too long"]))
    sys.exit(len(complaints) > 0)


main()
