#!/usr/bin/env python3
"""tools/make_checkpoint.py CONFIG.json OUT [--seed N] [--layers N] [--tokenizer DIR]: a checkpoint of random bf16 weights in a
real model's shape and of a trained model's size, for measuring what optimize costs. Its text is noise. The same seed gives
the same bytes. (hotaru bench --shape measures the device and needs no checkpoint.)"""
import argparse
import array
import json
import math
import random
import shutil
import sys
from pathlib import Path

SHARD_BYTES = 1 << 30
POOL_WORDS = 1 << 20  # normal numbers drawn; every row is a stretch of them that begins anywhere
BATCH_WORDS = 1 << 22
EMBEDDING_DEVIATION = 0.05
GAMMA_DEVIATION = 0.05
BIAS_DEVIATION = 0.1
TOKENIZER_FILES = ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"]


def layer_tensors(config, prefix):
    """(name, shape, deviation, mean) of one layer, by the names that transformers gives them."""
    hidden, ffn = config["hidden_size"], config["intermediate_size"]
    heads = config["num_attention_heads"]
    width = config.get("head_dim") or hidden // heads
    queries, keys = heads * width, (config.get("num_key_value_heads") or heads) * width
    family = config["model_type"]
    has_bias = {"q": family == "qwen2" or config.get("attention_bias"), "o": family != "qwen2" and config.get("attention_bias")}
    shapes = {"q": (queries, hidden), "k": (keys, hidden), "v": (keys, hidden), "o": (hidden, queries)}
    for letter, (rows, columns) in shapes.items():
        name = f"{prefix}.self_attn.{letter}_proj"
        yield f"{name}.weight", (rows, columns), 1 / math.sqrt(columns), 0
        if has_bias["o" if letter == "o" else "q"]:
            yield f"{name}.bias", (rows,), BIAS_DEVIATION, 0
    for name, rows, columns in [("gate", ffn, hidden), ("up", ffn, hidden), ("down", hidden, ffn)]:
        yield f"{prefix}.mlp.{name}_proj.weight", (rows, columns), 1 / math.sqrt(columns), 0
        if config.get("mlp_bias"):
            yield f"{prefix}.mlp.{name}_proj.bias", (rows,), BIAS_DEVIATION, 0
    for name in ["input_layernorm", "post_attention_layernorm"]:
        yield f"{prefix}.{name}.weight", (hidden,), GAMMA_DEVIATION, 1
    if family == "qwen3":
        for letter in "qk":
            yield f"{prefix}.self_attn.{letter}_norm.weight", (width,), GAMMA_DEVIATION, 1


def all_tensors(config):
    hidden = config["hidden_size"]
    yield "model.embed_tokens.weight", (config["vocab_size"], hidden), EMBEDDING_DEVIATION, 0
    for layer in range(config["num_hidden_layers"]):
        yield from layer_tensors(config, f"model.layers.{layer}")
    yield "model.norm.weight", (hidden,), GAMMA_DEVIATION, 1
    if not config.get("tie_word_embeddings"):
        yield "lm_head.weight", (config["vocab_size"], hidden), 1 / math.sqrt(hidden), 0


def bf16_words(values):
    bits = array.array("I", array.array("f", values).tobytes())
    return array.array("H", ((x + 0x7FFF + (x >> 16 & 1)) >> 16 for x in bits))


class Numbers:
    """Rows of normal numbers, as little-endian bf16."""

    def __init__(self, seed):
        self.source = random.Random(seed)
        self.normal = [self.source.gauss(0, 1) for _ in range(POOL_WORDS)]
        self.pools = {}

    def pool(self, deviation, mean):
        if (deviation, mean) not in self.pools:
            words = bf16_words(mean + deviation * x for x in self.normal)
            if sys.byteorder == "big":
                words.byteswap()
            self.pools[deviation, mean] = words.tobytes()
        return self.pools[deviation, mean]

    def write(self, file, shape, deviation, mean):
        pool = self.pool(deviation, mean)
        columns = shape[-1]
        rows = math.prod(shape) // columns
        if columns > POOL_WORDS:
            raise SystemExit(f"a row of {columns} numbers: want at most {POOL_WORDS}")
        step = max(1, BATCH_WORDS // columns)
        for first in range(0, rows, step):
            starts = [self.source.randrange(POOL_WORDS - columns + 1) for _ in range(min(step, rows - first))]
            file.write(b"".join(pool[2 * start : 2 * (start + columns)] for start in starts))


def cut_shards(tensors):
    shards, size = [[]], 0
    for tensor in tensors:
        tensor_bytes = 2 * math.prod(tensor[1])
        if shards[-1] and size + tensor_bytes > SHARD_BYTES:
            shards.append([])
            size = 0
        shards[-1].append(tensor)
        size += tensor_bytes
    return shards


def header_of(shard):
    header, offset = {}, 0
    for name, shape, _, _ in shard:
        end = offset + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    return text + b" " * (-len(text) % 8), offset


def write_checkpoint(config, folder, seed):
    numbers = Numbers(seed)
    shards = cut_shards(all_tensors(config))
    weight_map, total = {}, 0
    for index, shard in enumerate(shards, 1):
        name = "model.safetensors" if len(shards) == 1 else f"model-{index:05}-of-{len(shards):05}.safetensors"
        header, data_bytes = header_of(shard)
        with open(folder / name, "wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            for _, shape, deviation, mean in shard:
                numbers.write(file, shape, deviation, mean)
        weight_map.update({tensor[0]: name for tensor in shard})
        total += data_bytes
        print(f"{folder / name}: {len(shard)} tensors, {data_bytes / 2**20:.0f} MiB", file=sys.stderr, flush=True)
    if len(shards) > 1:
        text = json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}, indent=1)
        (folder / "model.safetensors.index.json").write_text(text + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--layers", type=int, help="other than config.json says")
    parser.add_argument("--tokenizer", type=Path, help="folder whose tokenizer to copy; none: the model knows ids only")
    options = parser.parse_args()
    config = json.loads(options.config.read_text())
    if options.layers:
        config["num_hidden_layers"] = options.layers
        if "layer_types" in config:
            config["layer_types"] = config["layer_types"][: options.layers]
    options.out.mkdir(parents=True, exist_ok=True)
    write_checkpoint(config, options.out, options.seed)
    (options.out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    for name in TOKENIZER_FILES if options.tokenizer else []:
        if (options.tokenizer / name).is_file():
            shutil.copyfile(options.tokenizer / name, options.out / name)


main()
