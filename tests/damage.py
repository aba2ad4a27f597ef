#!/usr/bin/env python3
"""damage.py har|hef|safetensors GOOD COUNT HOTARU: COUNT damaged copies of the file GOOD (a checkpoint's folder for safetensors),
each given to a process of its own: truncated at a random place (even numbers) or with one bit flipped (odd numbers). Each must end
with exit code 1, one line on stderr that begins "hotaru: " (besides warnings), and no output file. Prints those that do not.

A flipped bit inside the weights of a safetensors file makes another weight; the format has no checksum. So there only header bits are
flipped, __metadata__ excepted, which nobody reads; and COUNT // 50 flips of weight bits must give a whole HAR or be refused."""
import concurrent.futures
import os
import queue
import random
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

kind, good, count, hotaru = sys.argv[1], Path(sys.argv[2]).resolve(), int(sys.argv[3]), sys.argv[4]
SMALL = ["--recipe", "rtn", "--samples", "1", "--sequence", "32", "--quiet"]


class Place:
    """A folder with a copy of the file that one worker damages, gives to hotaru and repairs."""

    def __init__(self, root):
        self.folder = Path(tempfile.mkdtemp(dir=root))
        self.output = self.folder / "out/file"
        self.output.parent.mkdir()
        if kind == "safetensors":
            model = self.folder / "model"
            shutil.copytree(good, model)
            self.file = model / "model.safetensors"
            self.command = [hotaru, "optimize", model, "-o", self.output, *SMALL]
        else:
            self.file = self.folder / f"bad.{kind}"
            shutil.copy(good, self.file)
            self.command = {"har": [hotaru, "compile", self.file, "-o", self.output, "--quiet"],
                            "hef": [hotaru, "run", self.file, "Hello", "-n", "1", "--quiet"]}[kind]
        self.file.chmod(0o600)

    def play(self):
        done = subprocess.run(self.command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
        left = [p.name for p in self.output.parent.iterdir()]
        for name in left:
            (self.output.parent / name).unlink()
        return done, left


def header_place(rng, file):
    """A byte of the length or the JSON, not of __metadata__."""
    with open(file, "rb") as f:
        length = struct.unpack("<Q", f.read(8))[0]
        text = f.read(length)
    start = text.find(b'"__metadata__"')
    end = text.find(b"}", start) if start >= 0 else -1
    while True:
        at = rng.randrange(8 + length)
        if not (start >= 0 and 8 + start + len('"__metadata__"') < at <= 8 + end):
            return at


def damaged(place, number):
    """(what was done, what came of it), the file being whole again."""
    rng, size = random.Random(number), place.file.stat().st_size
    with open(place.file, "r+b") as f:
        if number % 2 == 0:
            f.seek(at := rng.randrange(size))
            tail = f.read()
            f.truncate(at)
            f.flush()
            result = f"{kind} cut at {at} of {size}", place.play()
            f.seek(at)
            f.write(tail)
        else:
            at = header_place(rng, place.file) if kind == "safetensors" else rng.randrange(size)
            result = flipped(place, f, at, 1 << rng.randrange(8))
    return result


def flipped(place, f, at, bit):
    f.seek(at)
    byte = f.read(1)[0]
    f.seek(at)
    f.write(bytes([byte ^ bit]))
    f.flush()
    result = f"{kind} byte {at}: {byte:#x} made {byte ^ bit:#x}", place.play()
    f.seek(at)
    f.write(bytes([byte]))
    return result


def is_refused(done, left):
    sentences = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")]
    return done.returncode == 1 and len(sentences) == 1 and sentences[0].startswith("hotaru: ") and not left


def another_weight(place, number):
    rng, size = random.Random(number), place.file.stat().st_size
    with open(place.file, "r+b") as f:
        start = 8 + struct.unpack("<Q", f.read(8))[0]
        return flipped(place, f, rng.randrange(start, size), 1 << rng.randrange(8))


def main():
    workers, bad = len(os.sched_getaffinity(0)), 0
    jobs = [(damaged, number, is_refused) for number in range(count)]
    if kind == "safetensors":
        jobs += [(another_weight, number, lambda done, left: done.returncode == 0 and left == ["file"] or is_refused(done, left))
                 for number in range(count // 50)]
    with tempfile.TemporaryDirectory() as root, concurrent.futures.ThreadPoolExecutor(workers) as pool:
        places = queue.Queue()
        for _ in range(workers):
            places.put(Place(root))

        def play(job):
            damage, number, is_good = job
            place = places.get()
            what, (done, left) = damage(place, number)
            places.put(place)
            if is_good(done, left):
                return 0
            print(f"# {what}: exit {done.returncode}, left {left}, stderr: {done.stderr[:300]!r}", flush=True)
            return 1

        bad = sum(pool.map(play, jobs))
    sys.exit(bad > 0)


main()
