#!/usr/bin/env python3
"""Who may include whom (floors.txt), seen in what files really include. --draw prints the picture as Mermaid text."""
import sys

from source_tree import ROOT, cpp_files, includes, name, resolve

# An inline function in a header of an ISA file would be compiled with that file's instructions and picked by the linker.
# These headers of the system have none that a compiler emits out of line.
ISA_SYSTEM_HEADERS = {"immintrin.h", "arm_neon.h", "bit", "cfloat", "climits", "cstddef", "cstdint", "cstring"}
ISA_NAMES = {"avx2", "avx_vnni", "avx512_vnni", "amx", "neon"}


def read_floors():
    lines = [line.split("#")[0] for line in (ROOT / "floors.txt").read_text().splitlines()]
    return {line.split(":")[0].strip(): line.split(":")[1].split() for line in lines if ":" in line}


def floor_of(path, floors):
    """The longest line of floors.txt that is a folder above the file; 'include' for the public headers."""
    if path.is_relative_to(ROOT / "include"):
        return "include"
    if path.is_relative_to(ROOT / "rust"):
        return "text"
    inner = str(path.relative_to(ROOT / "src"))
    fitting = [floor for floor in floors if inner.startswith(floor + "/")]
    return max(fitting, key=len) if fitting else None


def allowed(source, target, floors):
    if source == target or target.startswith(source + "/"):
        return True
    if target == "include":  # the public face belongs to genai and those above it
        return source == "genai" or "genai" in floors.get(source, [])
    return target in floors.get(source, [])


def include_complaints(path, floors, arrows):
    here = floor_of(path, floors)
    if here is None:
        yield f"{name(path)}: its folder has no line in floors.txt"
        return
    is_isa = path.stem in ISA_NAMES and path.suffix == ".cc"
    for line, quote, spelling in includes(path):
        target = resolve(spelling)
        if quote == '"' and target is None:
            yield f"{name(path)}:{line}: \"{spelling}\" is no file under src/ or include/"
        if target is None:
            if is_isa and spelling not in ISA_SYSTEM_HEADERS:
                yield f"{name(path)}:{line}: <{spelling}> in an ISA file; fine are {sorted(ISA_SYSTEM_HEADERS)}"
            continue
        if target.suffix == ".cmake":
            continue
        there = floor_of(target, floors)
        if there is None or not allowed(here, there, floors):
            yield f"{name(path)}:{line}: {here} must not include {there} ({spelling}); floors.txt"
        arrows.add((here, there))


def cycle_complaints(files):
    """Headers that reach themselves; depth first, a grey node met again closes a cycle."""
    state = {}

    def visit(path, trail):
        if state.get(path) == "done":
            return
        if state.get(path) == "open":
            yield "include cycle: " + " -> ".join(name(p) for p in trail[trail.index(path):] + [path])
            return
        state[path] = "open"
        for _, _, spelling in includes(path):
            if target := resolve(spelling):
                yield from visit(target, trail + [path])
        state[path] = "done"

    for path in files:
        yield from visit(path, [])


def draw(floors, arrows):
    print("graph BT")
    for here, there in sorted(a for a in arrows if a[0] != a[1]):
        print(f"  {here} {'-->' if allowed(here, there, floors) else '-.->|against the floors|'} {there}")


def main():
    floors = read_floors()
    files = [p for p in cpp_files() if not p.is_relative_to(ROOT / "tests")]
    arrows = set()
    complaints = [c for path in files for c in include_complaints(path, floors, arrows)]
    complaints += cycle_complaints(files)
    if "--draw" in sys.argv:
        draw(floors, arrows)
    for complaint in complaints:
        print(complaint)
    print(f"{len(files)} files, {len(arrows)} arrows, {len(complaints)} against the floors", file=sys.stderr)
    sys.exit(len(complaints) > 0)


main()
