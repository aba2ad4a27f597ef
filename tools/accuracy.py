#!/usr/bin/env python3
"""./dev accuracy [--quick]: does each remedy of the full recipe cure the outliers that it is there for, and what does each recipe
cost? Injects outliers (tools/inject_outliers.py) into a checkpoint, quantises it in several ways, compares each with its float
model and checks the criteria that docs/accuracy.md names. Ends with 1 where one fails. What was measured is kept in build/accuracy
by the bytes of program and checkpoint, so an interrupted run goes on where it was."""
import argparse
import hashlib
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

from source_tree import ROOT

HOTARU = Path(os.environ.get("HOTARU", ROOT / "build/release/hotaru"))
WORK = ROOT / "build/accuracy"
# Everything that can be left out of the full recipe and is there for the sake of accuracy.
REMEDIES = ["fold-norms", "scale-query-key", "scale-up-down", "permute-ffn", "rotate-values", "rotate-residual", "choose-prefix",
            "shift-keys", "split-key-bias", "wide-inputs", "search-ranges"]
# What a remedy cannot work without; it stays when the remedy is alone, and goes with what it needs.
NEEDS = {"rotate-residual": ["fold-norms"], "split-key-bias": ["shift-keys"]}
# By kind: its remedy, and others that can stand in when it is left out.
KINDS = {
    "norm": ("fold-norms", ["wide-inputs", "search-ranges"]),
    "up-down": ("scale-up-down", ["wide-inputs", "search-ranges"]),
    "value-output": ("rotate-values", []),
    "query-key": ("scale-query-key", []),
    "key-bias-slow": ("shift-keys", ["scale-query-key"]),
    "key-bias-medium": ("split-key-bias", ["scale-query-key"]),
    "sink": ("choose-prefix", ["wide-inputs", "search-ranges"]),
}
NAIVE_RISE = 1.5      # an injection is a test if naive quantisation multiplies perplexity by this
RECOVERED = 0.9       # of the log-perplexity gap, by the remedy alone
RETURNS = 0.3         # of rounding's KL, when the remedy is left out (a biased model's perplexity may fall when it is disturbed)
FULL_DIFFERENCE = 1.01  # full on injected over full on clean, each over its own float
ALL_RISE = 1.022      # full with every outlier at once


def digest(*paths):
    total = hashlib.sha256()
    for path in paths:
        total.update(path.read_bytes())
    return total.hexdigest()[:16]


def summary_of(report):
    """Notes, and the errors of all matrices together on held-out tokens: rounded, plain GPTQ, as kept (re-targeted, refined)."""
    matrices = [m for layer in report["layers"] for m in layer["matrices"] if "error" in m]
    errors = {name: sum(m[name] for m in matrices) for name in ("error_rtn", "error_gptq", "error")}
    errors["worse"] = [m["name"] for m in matrices if not m["error"] <= m["error_rtn"]]
    return {"notes": report["notes"], "errors": errors}


class Bench:
    """Measures variants of checkpoints; remembers what it measured."""

    def __init__(self, options):
        self.options = options
        self.folder = WORK
        self.folder.mkdir(parents=True, exist_ok=True)
        self.program = digest(HOTARU)
        self.checkpoints = {}

    def remedies(self):
        """Those of REMEDIES that this program has; it names them when it meets one that it does not know."""
        done = subprocess.run([HOTARU, "optimize", self.options.checkpoint, "-o", self.folder / "none.har", "--skip", "?"], cwd=ROOT,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        known = done.stderr.rpartition("there are: ")[2].strip().split(", ")
        return [name for name in REMEDIES if name in known]

    def play(self, *command):
        done = subprocess.run(["nice", *map(str, command)], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"accuracy: {' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
        return done.stdout

    def inject(self, checkpoint, kinds):
        out = self.folder / f"{checkpoint.name}-{'-'.join(kinds)}".replace("=", "")
        self.play(sys.executable, ROOT / "tools/inject_outliers.py", checkpoint, out, *kinds)
        return out

    def measure(self, checkpoint, recipe, skip=(), text=None, bos=False):
        """What `eval compare` says of the checkpoint quantised by `recipe` without `skip`."""
        o = self.options
        text = text or o.text[0]
        optimize = ["--recipe", recipe, "--samples", o.samples, "--sequence", o.segment]
        optimize += [word for name in skip for word in ("--skip", name)]
        compare = ["--text", text, "--segment", o.segment, "--limit-segments", o.segments] + ["--bos"] * bos
        if checkpoint not in self.checkpoints:
            self.checkpoints[checkpoint] = digest(*sorted(f for f in checkpoint.iterdir() if f.is_file()))
        key = [self.program, self.checkpoints[checkpoint], digest(Path(text)), *map(str, optimize), *map(str, compare)]
        kept = self.folder / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:24]}.json"
        if kept.exists():
            return json.loads(kept.read_text())
        har, hef, report = (self.folder / f"now.{ending}" for ending in ("har", "hef", "json"))
        start = time.monotonic()
        self.play(HOTARU, "optimize", checkpoint, "-o", har, "--report", report, "--quiet", *optimize)
        self.play(HOTARU, "compile", har, "-o", hef, "--context", o.segment, "--quiet")
        measured = json.loads(self.play(HOTARU, "eval", "compare", checkpoint, hef, *compare, "--json", "--quiet"))
        measured |= summary_of(json.loads(report.read_text()))
        measured["seconds"] = round(time.monotonic() - start, 1)
        kept.write_text(json.dumps(measured) + "\n")
        return measured


def log_rise(m):
    return math.log(m["perplexity"] / m["reference_perplexity"])


def line(name, m, more=""):
    print(f"  {name:<48} {m['perplexity']:10.3f} {100 * m['perplexity_rise']:+9.2f} %   KL {m['mean_kl']:8.5f}   "
          f"top-1 {m['top1_agreement']:.4f}  {more}".rstrip(), flush=True)


class Verdicts:
    def __init__(self):
        self.list = []

    def add(self, is_good, text):
        self.list.append({"criterion": text, "pass": bool(is_good)})

    def show(self):
        for verdict in self.list:
            print(f"{'pass' if verdict['pass'] else 'FAIL'}  {verdict['criterion']}")
        return all(v["pass"] for v in self.list)


def left_out(name):
    """The skips of full without `name` and without what needs it."""
    return [r for r in REMEDIES if r == name or name in NEEDS.get(r, [])]


def alone(name):
    return [r for r in REMEDIES if r != name and r not in NEEDS.get(name, [])]


def merged(*lists):
    return [r for r in REMEDIES if any(r in some for some in lists)]


def measure_kind(bench, checkpoint, spec, clean, verdicts):
    kind = spec.split("=")[0]
    remedy, substitutes = KINDS[kind]
    injected = bench.inject(checkpoint, [spec])
    bos = kind == "sink"
    see = lambda recipe, skip=(): bench.measure(injected, recipe, skip, bos=bos)
    print(f"{checkpoint.name}, {spec}: remedy {remedy}")
    naive = see("rtn", ["fold-norms"] if kind == "norm" else [])
    rows = {"float": naive["reference_perplexity"], "naive": naive}
    print(f"  {'float':<48} {rows['float']:10.3f}")
    line("naive (rtn" + (" without fold-norms)" if kind == "norm" else ")"), naive)
    verdicts.add(naive["perplexity_rise"] >= NAIVE_RISE - 1,
                 f"{checkpoint.name} {spec}: naive fails ({100 * naive['perplexity_rise']:+.1f} %, want +50 %)")
    gap = log_rise(naive)
    for name in [remedy, *substitutes]:
        rows[f"{name} alone"] = found = see("full", alone(name))
        share = 1 - log_rise(found) / gap
        line(f"{name} alone", found, f"recovers {100 * share:.1f} %")
        if name == remedy:
            verdicts.add(share >= RECOVERED, f"{checkpoint.name} {spec}: {name} alone recovers {100 * share:.1f} % (want 90 %)")
    rows["full"] = full = see("full")
    line("full", full)
    ratio = (1 + full["perplexity_rise"]) / (1 + clean["full"]["perplexity_rise"])
    verdicts.add(ratio <= FULL_DIFFERENCE, f"{checkpoint.name} {spec}: full is {100 * (ratio - 1):+.2f} % against full on clean "
                                           f"(want +1 %)")
    skip, named, returned = left_out(remedy), remedy, None
    for substitute in [None, *substitutes]:
        if substitute:
            if returned >= RETURNS:
                break
            skip, named = merged(skip, left_out(substitute)), f"{named}, {substitute}"
        rows[f"full without {named}"] = found = see("full", skip)
        returned = found["mean_kl"] / naive["mean_kl"]
        line(f"full without {named}", found, f"{100 * returned:.1f} % of the KL is back")
    verdicts.add(returned >= RETURNS, f"{checkpoint.name} {spec}: without {named} the failure returns "
                                      f"({100 * returned:.1f} % of rounding's KL, want 30 %)")
    return rows


def measure_clean(bench, checkpoint, verdicts):
    """Recipes on every text, and their order in KL."""
    table = {}
    for text in bench.options.text:
        print(f"{checkpoint.name}, no injection, {Path(text).name}: segments of {bench.options.segment} tokens")
        rows = {recipe: bench.measure(checkpoint, recipe, text=text) for recipe in ("rtn", "gptq", "full")}
        print(f"  {'float':<48} {rows['rtn']['reference_perplexity']:10.3f}")
        for recipe, measured in rows.items():
            line(recipe, measured)
        kl = [rows[r]["mean_kl"] for r in ("full", "gptq", "rtn")]
        verdicts.add(kl[0] < kl[1] < kl[2], f"{checkpoint.name} {Path(text).name}: KL of full < gptq < rtn "
                                            f"({kl[0]:.5f}, {kl[1]:.5f}, {kl[2]:.5f})")
        table[Path(text).name] = rows
    errors = rows["full"]["errors"]
    sums = [errors[name] for name in ("error", "error_gptq", "error_rtn")]
    verdicts.add(sums[0] <= sums[1] <= sums[2] and not errors["worse"],
                 f"{checkpoint.name}: errors on held-out tokens: re-targeted {sums[0]:.4f} <= GPTQ {sums[1]:.4f} <= RTN {sums[2]:.4f}, "
                 f"in sum over matrices, and no matrix worse than RTN")
    return table


def measure_all(bench, checkpoint, specs, verdicts):
    injected = bench.inject(checkpoint, specs)
    print(f"{checkpoint.name}, every outlier at once")
    rows = {"naive": bench.measure(injected, "rtn", ["fold-norms"], bos=True), "rtn": bench.measure(injected, "rtn", bos=True),
            "gptq": bench.measure(injected, "gptq", bos=True), "full": bench.measure(injected, "full", bos=True)}
    print(f"  {'float':<48} {rows['rtn']['reference_perplexity']:10.3f}")
    for name, measured in rows.items():
        line(name, measured)
    verdicts.add(rows["rtn"]["perplexity_rise"] >= NAIVE_RISE - 1, f"{checkpoint.name}, all at once: rtn fails")
    rise = rows["full"]["perplexity_rise"]
    verdicts.add(1 + rise <= ALL_RISE, f"{checkpoint.name}, all at once: full {100 * rise:+.2f} % (want +2.2 %)")
    return rows


def parse_arguments():
    parser = argparse.ArgumentParser(prog="./dev accuracy", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a quarter of the text, three kinds")
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "models/demo", help="default: models/demo")
    parser.add_argument("--text", action="append", type=Path, help="evaluated on (repeatable; injections only on the first)")
    parser.add_argument("--kind", action="append", metavar="KIND[=FACTOR]", help="only these injections (repeatable)")
    parser.add_argument("--segment", type=int, default=512, help="tokens")
    parser.add_argument("--segments", type=int, default=16)
    parser.add_argument("--samples", type=int, default=16, help="calibration segments")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures")
    options = parser.parse_args()
    options.text = [t.resolve() for t in options.text or [ROOT / "tests/data/text/novels.txt"]]
    options.checkpoint = options.checkpoint.resolve()
    if options.quick:
        options.segments, options.samples = max(1, options.segments // 4), max(1, options.samples // 2)
        options.kind = options.kind or ["norm", "up-down", "value-output"]
    unknown = [k for k in options.kind or [] if k.split("=")[0] not in KINDS]
    if unknown:
        parser.error(f"--kind: got {unknown}, want {', '.join(KINDS)}")
    return options


def main():
    options = parse_arguments()
    if not HOTARU.exists():
        sys.exit(f"{HOTARU} is not there: ./dev build release hotaru")
    bench, verdicts = Bench(options), Verdicts()
    missing = sorted(set(REMEDIES) - set(bench.remedies()))
    REMEDIES[:] = bench.remedies()
    found = {"checkpoint": options.checkpoint.name, "segment": options.segment, "segments": options.segments,
             "samples": options.samples, "clean": measure_clean(bench, options.checkpoint, verdicts), "injected": {}}
    clean = found["clean"][options.text[0].name]
    specs = options.kind or list(KINDS)
    for spec in specs:
        if KINDS[spec.split("=")[0]][0] in missing:
            verdicts.add(False, f"{spec}: this program has no {KINDS[spec.split('=')[0]][0]}")
            continue
        found["injected"][spec] = measure_kind(bench, options.checkpoint, spec, clean, verdicts)
    if len(specs) == len(KINDS):
        found["all"] = measure_all(bench, options.checkpoint, specs, verdicts)
    is_good = verdicts.show()
    found["criteria"] = verdicts.list
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    sys.exit(0 if is_good else 1)


main()
