#!/usr/bin/env python3
"""clang-format over all C++ files. --fix formats them in place."""
import subprocess
import sys

from cached_jobs import Job, run, tool_version
from source_tree import ROOT, cpp_files, name

if "--fix" in sys.argv:
    sys.exit(subprocess.run(["clang-format", "-i", *cpp_files()]).returncode)
style = ROOT / ".clang-format"
jobs = [Job(name(path), ["clang-format", "--dry-run", "-Werror", str(path)], [style, path]) for path in cpp_files()]
sys.exit(run(jobs, tool_version("clang-format")) > 0)
