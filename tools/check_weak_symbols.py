#!/usr/bin/env python3
"""Objects compiled for one instruction set define no weak symbol: the linker could take its body for the whole program."""
import subprocess
import sys

from source_tree import ROOT

OBJECTS = "build/release/CMakeFiles/hotaru_kernels.dir/src/kernels"
ISA_NAMES = ("avx2", "avx_vnni", "avx512_vnni", "amx", "neon")
COMPILERS_OWN = ("DW.ref.",)  # a pointer to the exception personality, data without code


def weak_symbols(path):
    listing = subprocess.run(["nm", "-C", "--defined-only", str(path)], capture_output=True, text=True, check=True).stdout
    rows = (line.split(maxsplit=2) for line in listing.splitlines())
    return [row[2] for row in rows if len(row) == 3 and row[1] in "WwVvu" and not row[2].startswith(COMPILERS_OWN)]


def main():
    objects = [p for isa in ISA_NAMES for p in sorted((ROOT / OBJECTS).rglob(f"{isa}.cc.o"))]
    if not objects:
        sys.exit(f"no ISA objects under {OBJECTS}: build release first")
    found = [(path.relative_to(ROOT / OBJECTS), symbol) for path in objects for symbol in weak_symbols(path)]
    for path, symbol in found:
        print(f"{path}: weak symbol {symbol}")
    print(f"{len(objects)} objects, {len(found)} weak symbols")
    sys.exit(len(found) > 0)


main()
