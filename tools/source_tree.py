"""The C++ files of the project and what each includes. Read by the check scripts; not a script itself."""
import functools
import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INCLUDE_ROOTS = [ROOT / "src", ROOT / "include", ROOT / "rust/hotaru_text/include"]
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def cores():
    return len(os.sched_getaffinity(0))


def cpp_files(*suffixes):
    suffixes = suffixes or (".cc", ".h")
    found = [p for top in ("src", "include", "tests") for p in (ROOT / top).rglob("*") if p.suffix in suffixes]
    return sorted(p for p in found if p.is_file())


def name(path):
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


@functools.cache
def text(path):
    return path.read_text(encoding="utf-8")


@functools.cache
def includes(path):
    """[(line number, '<' or '"', spelling)]"""
    lines = text(path).splitlines()
    matches = ((number, INCLUDE.match(line)) for number, line in enumerate(lines, 1))
    return [(number, m.group(1), m.group(2)) for number, m in matches if m]


@functools.cache
def resolve(spelling):
    """The project's file that an include names (for a generated header: the schema or script behind it), or None."""
    if spelling == "generated_version.h":
        return ROOT / "cmake/WriteVersion.cmake"
    if spelling.endswith("_generated.h"):
        spelling = spelling.removesuffix("_generated.h") + ".fbs"
    return next((root / spelling for root in INCLUDE_ROOTS if (root / spelling).is_file()), None)


def closure(path):
    """The file and every project header it reaches."""
    seen, todo = {path}, [path]
    while todo:
        for _, _, spelling in includes(todo.pop()):
            target = resolve(spelling)
            if target and target not in seen:
                seen.add(target)
                todo.append(target)
    return sorted(seen)
