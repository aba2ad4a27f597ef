"""Runs commands on all cores and remembers those that passed by a hash of everything they read."""
import concurrent.futures
import dataclasses
import hashlib
import subprocess

from source_tree import ROOT, cores

CACHE = ROOT / "build/check-cache"


@dataclasses.dataclass
class Job:
    name: str
    command: list
    inputs: list  # paths whose content decides the outcome, besides the command line
    directory: str = str(ROOT)


def key(job, tool):
    digest = hashlib.sha256(f"{tool}\0{job.command}\0".encode())
    for path in job.inputs:
        digest.update(f"{path}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def tool_version(program):
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout


def run(jobs, tool):
    """Prints the output of the jobs that failed; returns how many did."""
    CACHE.mkdir(parents=True, exist_ok=True)
    todo = [job for job in jobs if not (CACHE / key(job, tool)).exists()]

    def play(job):
        done = subprocess.run(job.command, cwd=job.directory, capture_output=True, text=True)
        if done.returncode == 0:
            (CACHE / key(job, tool)).touch()
        return job, done

    failures = 0
    with concurrent.futures.ThreadPoolExecutor(cores()) as pool:
        for job, done in pool.map(play, todo):
            if done.returncode != 0:
                failures += 1
                print(f"{job.name}:\n{done.stdout}{done.stderr}", flush=True)
    print(f"{len(jobs)} files, {len(todo)} looked at anew, {failures} with complaints")
    return failures
