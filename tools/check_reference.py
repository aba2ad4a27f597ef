#!/usr/bin/env python3
"""tools/check_reference.py REFERENCE... --data DIR... [--hotaru PROGRAM] [--items N]: does `hotaru eval` say what Hugging Face
transformers said? REFERENCE: folders of JSON files, one a model (probes, perplexity, hellaswag, adapters). Models, texts, items
and adapters are looked for by name under the DIRs; what is not there is named as skipped. One line a check, and at the end
'N passed, N failed'."""
import argparse
import bz2
import json
import math
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from source_tree import ROOT

LOGIT_TOLERANCE = 1e-3  # of the largest logit
PERPLEXITY_TOLERANCE = 1e-3  # relative
SCORE_TOLERANCE = 1e-3  # of a sum of log p


class Data:
    """Finds things by name under some folders."""

    def __init__(self, folders):
        self.files = [path for folder in folders for path in sorted(Path(folder).rglob("*")) if path.is_file()]

    def file(self, name):
        return next((path for path in self.files if path.name == name), None)

    def folder(self, name, mark):
        return next((path.parent for path in self.files if path.name == mark and path.parent.name == name), None)

    def items(self, scratch):
        """HellaSwag's items as plain text."""
        found = [path for path in self.files if path.name.startswith("hellaswag") and path.suffix in (".txt", ".bz2")]
        if not found or found[0].suffix == ".txt":
            return found[0] if found else None
        plain = scratch / "items.txt"
        plain.write_bytes(bz2.decompress(found[0].read_bytes()))
        return plain


class Checker:
    def __init__(self, hotaru, data, scratch):
        self.hotaru, self.data, self.scratch = hotaru, data, scratch
        self.passed = self.failed = 0

    def say(self, is_good, text, seconds):
        self.passed += is_good
        self.failed += not is_good
        print(f"{'ok' if is_good else 'not ok'} {text}, {seconds:.1f} s", flush=True)

    def check(self, name, run):
        """run() -> (is_good, what was found)."""
        start = time.monotonic()
        try:
            is_good, found = run()
        except (subprocess.CalledProcessError, KeyError, ValueError) as error:
            is_good, found = False, f"{getattr(error, 'stderr', '') or error!r}".strip()
        self.say(is_good, f"{name}: {found}", time.monotonic() - start)

    def eval(self, *arguments):
        command = [self.hotaru, "eval", *map(str, arguments), "--json", "--quiet"]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    def logits(self, model, lora, ids):
        """Rows of logits of all positions."""
        file = self.scratch / "logits.safetensors"
        self.eval("logits", model, "--ids", ",".join(map(str, ids)), "-o", file, *lora)
        content = file.read_bytes()
        (header_bytes,) = struct.unpack_from("<Q", content)
        tensor = json.loads(content[8 : 8 + header_bytes])["logits"]
        rows, width = tensor["shape"]
        first = 8 + header_bytes + tensor["data_offsets"][0]
        return [struct.unpack_from(f"<{width}f", content, first + 4 * width * row) for row in range(rows)]

    def probe(self, model, lora, probe):
        ids, greedy = probe["ids"], probe.get("greedy", [])
        rows = self.logits(model, lora, ids + greedy[:-1])
        last = rows[len(ids) - 1]
        largest = max(map(abs, last))
        found = [*last[: len(probe["last_logits_head"])], *(last[i] for i in probe["top_ids"])]
        wanted = probe["last_logits_head"] + probe["top_logits"]
        error = max(abs(a - b) for a, b in zip(found, wanted)) / largest
        norm = math.sqrt(sum(x * x for x in last)) / probe["last_logits_norm"] - 1
        score = 0
        if "sum_log_prob" in probe:
            score = sum(log_probability(row, token) for row, token in zip(rows, ids[1:])) - probe["sum_log_prob"]
        # Two logits nearer than the tolerance may change places, and all that follows with them.
        lead = [max(row) - row[token] for row, token in zip(rows[len(ids) - 1 :], greedy)]
        is_good = (error <= LOGIT_TOLERANCE and abs(norm) <= LOGIT_TOLERANCE and abs(score) <= SCORE_TOLERANCE * len(ids)
                   and max(lead, default=0) <= LOGIT_TOLERANCE * largest)
        return is_good, error, abs(score)

    def probes(self, model, lora, probes):
        results = [self.probe(model, lora, probe) for probe in probes]
        good = sum(result[0] for result in results)
        return good == len(results), (f"{good} of {len(results)} probes, logits within {max(r[1] for r in results):.1e} of the "
                                      f"largest, sums of log p within {max(r[2] for r in results):.1e}")

    def perplexity(self, model, lora, text, wanted):
        found = self.eval("ppl", model, "--text", text, "--segment", wanted["segment_tokens"], *lora)
        change = found["perplexity"] / wanted["perplexity"] - 1
        same = all(found[key] == wanted[key] for key in ("tokens_scored", "segments", "tokens_total"))
        return same and abs(change) <= PERPLEXITY_TOLERANCE, (
            f"{found['perplexity']:.4f}, want {wanted['perplexity']:.4f} ({100 * change:+.4f} %), {found['tokens_scored']} tokens"
            f"{'' if same else ', want ' + str(wanted['tokens_scored'])}")

    def hellaswag(self, model, lora, items, wanted, limit):
        count = min(limit or wanted["items"], wanted["items"])
        found = self.eval("hellaswag", model, "--items", items, "--limit", count, *lora)
        pairs = zip(found["scores"], wanted["first_scores"])
        worst = max(abs(a - b) for mine, theirs in pairs for a, b in zip(mine, theirs))
        is_good = found["items"] == count and worst <= SCORE_TOLERANCE
        text = f"{count} items, sums of log p within {worst:.1e} on the first {min(count, len(wanted['first_scores']))}"
        if count == wanted["items"]:
            is_good = is_good and all(abs(found[key] - wanted[key]) < 1e-9 for key in ("acc", "acc_norm"))
            text += f", acc {found['acc']:.4f} (want {wanted['acc']:.4f}), acc_norm {found['acc_norm']:.4f} ({wanted['acc_norm']:.4f})"
        return is_good, text

    def model(self, name, reference, limit):
        model = self.data.folder(reference["model"], "config.json")
        if model is None:
            print(f"skipped {name}: no model '{reference['model']}'", flush=True)
            return
        self.variant(name, model, [], reference, limit)
        for adapter, wanted in reference.get("adapters", {}).items():
            folder = self.data.folder(adapter, "adapter_config.json")
            if folder is None:
                print(f"skipped {name} + {adapter}: no such adapter", flush=True)
            else:
                self.variant(f"{name} + {adapter}", model, ["--lora", folder], wanted, limit)

    def variant(self, name, model, lora, reference, limit):
        if "probes" in reference:
            self.check(f"{name} logits", lambda: self.probes(model, lora, reference["probes"]))
        for text, wanted in reference.get("perplexity", {}).items():
            file = self.data.file(text)
            if file is None:
                print(f"skipped {name} ppl {text}: no such text", flush=True)
            else:
                self.check(f"{name} ppl {text}", lambda file=file, wanted=wanted: self.perplexity(model, lora, file, wanted))
        if "hellaswag" in reference:
            items = self.data.items(self.scratch)
            if items is None:
                print(f"skipped {name} hellaswag: no items", flush=True)
            else:
                self.check(f"{name} hellaswag", lambda: self.hellaswag(model, lora, items, reference["hellaswag"], limit))


def log_probability(logits, token):
    most = max(logits)
    return logits[token] - most - math.log(math.fsum(math.exp(x - most) for x in logits))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--hotaru", type=Path, default=ROOT / "build/release/hotaru")
    parser.add_argument("--items", type=int, help="HellaSwag's first N items only")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        checker = Checker(options.hotaru, Data(options.data), Path(scratch))
        for folder in options.reference:
            for file in sorted(folder.glob("*.json")):
                checker.model(file.stem, json.loads(file.read_text()), options.items)
    print(f"{checker.passed} passed, {checker.failed} failed")
    sys.exit(checker.failed > 0 or checker.passed == 0)


main()
