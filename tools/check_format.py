#!/usr/bin/env python3
"""clang-format over all C++ files. --fix formats them in place."""
import subprocess
import sys

from cached_jobs import Job, run, tool_version
from source_tree import ROOT, cpp_files, name

files = cpp_files() + sorted((ROOT / "examples").glob("*.cc"))
if "--fix" in sys.argv:
    sys.exit(subprocess.run(["clang-format", "-i", *files]).returncode)
style = ROOT / ".clang-format"
jobs = [Job(name(path), ["clang-format", "--dry-run", "-Werror", str(path)], [style, path]) for path in files]
sys.exit(run(jobs, tool_version("clang-format")) > 0)
