#!/usr/bin/env python3
"""inject_outliers.py CHECKPOINT OUT KIND[=FACTOR]...: a copy of a checkpoint with the outliers that large models have.

A small model has none, so what cures them cannot be shown on it. Some kinds leave the function as it is:
  norm=K          a few channels of each layer's two norms x K; the columns of the linears that read them / K
  up-down=K       rows of a few ffn channels of up_proj x K; their columns in down_proj / K
  value-output=K  rows of a few channels of each value head x K; their columns in o_proj / K, in every query head of the group
  query-key=K     both rows of a few rotary pairs of each key head x K; those of the queries of its group / K
Others change it, so that the written model is its own float reference:
  key-bias-slow=B    a bias of B on the slowest rotary pair of each key head
  key-bias-medium=B  a bias of B on a pair that turns about twice in 256 positions; its queries / (B / 8), so that attention still
                     sees more than positions
  sink=B          one residual channel is read and written by nobody but a token S (the tokenizer's BOS; where there is none,
                  <|endoftext|> becomes it) and one ffn channel of every layer, whose product is B on S and 0
                  on every other token. The chat template is left out, so that calibration too begins every segment with S.
A power of two as factor changes no bit of a weight's mantissa. Channels are drawn with --seed (default 1): the same arguments
give the same bytes. Reads safetensors of F32, F16 and BF16; what is changed is written as F32."""
import argparse
import array
import json
import math
import random
import struct
import sys
from pathlib import Path

FEW = 4  # channels of a norm or an ffn
FEW_OF_HEAD = 2
TURNS_AT = 256  # tokens in which a medium pair turns twice
# With these, rounding raises the demo model's perplexity by 51 % to 320 % (16 x 512 tokens of calibration).
DEFAULTS = {"norm": 64, "up-down": 128, "value-output": 128, "query-key": 128, "key-bias-slow": 800, "key-bias-medium": 600,
            "sink": 4096}


def floats_of(dtype, raw):
    """array('f') of a tensor's bytes."""
    if dtype == "F32":
        return array.array("f", raw)
    if dtype == "F16":
        return array.array("f", struct.unpack(f"<{len(raw) // 2}e", raw))
    if dtype == "BF16":
        wide = bytearray(2 * len(raw))
        wide[2::4], wide[3::4] = raw[0::2], raw[1::2]
        return array.array("f", bytes(wide))
    sys.exit(f"dtype: got {dtype}, want F32, F16 or BF16")


def json_bytes(value):
    return json.dumps(value, indent=2).encode() + b"\n"


class Matrix:
    """Rows of a weight, or one row of a vector, as floats."""

    def __init__(self, shape, values):
        self.shape, self.values = shape, values
        self.columns = shape[-1]
        self.rows = len(values) // self.columns

    def scale_rows(self, rows, factor):
        for row in rows:
            for i in range(row * self.columns, (row + 1) * self.columns):
                self.values[i] *= factor

    def scale_columns(self, columns, factor):
        for row in range(self.rows):
            for column in columns:
                self.values[row * self.columns + column] *= factor

    def set_row(self, row, values):
        self.values[row * self.columns:(row + 1) * self.columns] = array.array("f", values)

    def energy_of_columns(self):
        sums = [0.0] * self.columns
        for i, x in enumerate(self.values):
            sums[i % self.columns] += x * x
        return sums

    def energy_of_rows(self):
        return [sum(x * x for x in self.values[r * self.columns:(r + 1) * self.columns]) for r in range(self.rows)]


class Checkpoint:
    def __init__(self, folder):
        self.folder = folder
        self.config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.raw, self.changed = {}, {}
        for file in sorted(folder.glob("*.safetensors")):
            self._read(file)
        if not self.raw:
            sys.exit(f"{folder}: no safetensors")
        self.files = {f.name: f.read_bytes() for f in folder.iterdir()
                      if f.is_file() and ".safetensors" not in f.name and f.name != "config.json"}
        c = self.config
        self.layers, self.width, self.ffn = c["num_hidden_layers"], c["hidden_size"], c["intermediate_size"]
        self.heads = c["num_attention_heads"]
        self.kv_heads = c.get("num_key_value_heads") or self.heads
        self.head_width = c.get("head_dim") or self.width // self.heads

    def _read(self, file):
        data = file.read_bytes()
        size = struct.unpack("<Q", data[:8])[0]
        for name, entry in json.loads(data[8:8 + size]).items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                self.raw[name] = (entry["dtype"], entry["shape"], data[8 + size + begin:8 + size + end])

    def has(self, name):
        return name in self.raw or name in self.changed

    def tensor(self, name):
        """The tensor to read and change; it will be written as F32."""
        if name not in self.changed:
            if name not in self.raw:
                sys.exit(f"{self.folder}: no tensor '{name}'")
            dtype, shape, raw = self.raw.pop(name)
            self.changed[name] = Matrix(shape, floats_of(dtype, raw))
        return self.changed[name]

    def linear(self, layer, name):
        """Weight and, where there is one, bias as a matrix of one column: rows of both are scaled alike."""
        prefix = f"model.layers.{layer}.{name}"
        parts = [self.tensor(prefix + ".weight")]
        if self.has(prefix + ".bias"):
            bias = self.tensor(prefix + ".bias")
            parts.append(Matrix([len(bias.values), 1], bias.values))
        return parts

    def scale_rows(self, layer, name, rows, factor):
        for part in self.linear(layer, name):
            part.scale_rows(rows, factor)

    def scale_columns(self, layer, name, columns, factor):
        self.linear(layer, name)[0].scale_columns(columns, factor)

    def want_attention_bias(self):
        """Qwen2 has q, k and v biases; Llama may have them, then on o_proj too."""
        if self.has("model.layers.0.self_attn.k_proj.bias"):
            return
        if self.config.get("model_type") != "llama":
            sys.exit(f"key biases: a {self.config.get('model_type')} model has none, want qwen2 or llama")
        self.config["attention_bias"] = True
        for layer in range(self.layers):
            for name in "qkvo":
                prefix = f"model.layers.{layer}.self_attn.{name}_proj"
                rows = self.tensor(prefix + ".weight").rows
                self.changed[prefix + ".bias"] = Matrix([rows], array.array("f", bytes(4 * rows)))

    def write(self, out):
        out.mkdir(parents=True, exist_ok=True)
        for name, content in {**self.files, "config.json": json_bytes(self.config)}.items():
            (out / name).write_bytes(content)
        tensors = dict(self.raw)
        for name, matrix in self.changed.items():
            tensors[name] = ("F32", matrix.shape, matrix.values.tobytes())
        header, offset = {}, 0
        for name in sorted(tensors):
            dtype, shape, raw = tensors[name]
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(raw)]}
            offset += len(raw)
        head = json.dumps(header).encode()
        head += b" " * (-len(head) % 8)
        with open(out / "model.safetensors", "wb") as file:
            file.write(struct.pack("<Q", len(head)) + head)
            file.writelines(tensors[name][2] for name in sorted(tensors))


def query_heads(model, kv_head):
    group = model.heads // model.kv_heads
    return range(kv_head * group, (kv_head + 1) * group)


def pair_rows(model, head, pairs):
    """Rows of rotary pairs (j, j + E/2) of a head."""
    half = model.head_width // 2
    return [head * model.head_width + j + side * half for j in pairs for side in (0, 1)]


def inverse_frequencies(model):
    rope = model.config.get("rope_parameters") or {}
    theta = rope.get("rope_theta", model.config.get("rope_theta", 10000.0))
    return [theta ** (-2 * j / model.head_width) for j in range(model.head_width // 2)]


def refuse_key_norms(model):
    if model.has("model.layers.0.self_attn.k_norm.weight"):
        sys.exit("query-key and key-bias: this model norms its keys, which would undo them")


def inject_norm(model, factor, draw):
    readers = {"input_layernorm": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
               "post_attention_layernorm": ["mlp.gate_proj", "mlp.up_proj"]}
    for layer in range(model.layers):
        for norm, linears in readers.items():
            channels = draw.sample(range(model.width), FEW)
            model.tensor(f"model.layers.{layer}.{norm}.weight").scale_columns(channels, factor)
            for linear in linears:
                model.scale_columns(layer, linear, channels, 1 / factor)


def inject_up_down(model, factor, draw):
    for layer in range(model.layers):
        channels = draw.sample(range(model.ffn), FEW)
        model.scale_rows(layer, "mlp.up_proj", channels, factor)
        model.scale_columns(layer, "mlp.down_proj", channels, 1 / factor)


def inject_value_output(model, factor, draw):
    for layer in range(model.layers):
        for kv_head in range(model.kv_heads):
            channels = draw.sample(range(model.head_width), FEW_OF_HEAD)
            model.scale_rows(layer, "self_attn.v_proj", [kv_head * model.head_width + c for c in channels], factor)
            for head in query_heads(model, kv_head):
                model.scale_columns(layer, "self_attn.o_proj", [head * model.head_width + c for c in channels], 1 / factor)


def inject_query_key(model, factor, draw):
    refuse_key_norms(model)
    for layer in range(model.layers):
        for kv_head in range(model.kv_heads):
            pairs = draw.sample(range(model.head_width // 2), FEW_OF_HEAD)
            model.scale_rows(layer, "self_attn.k_proj", pair_rows(model, kv_head, pairs), factor)
            for head in query_heads(model, kv_head):
                model.scale_rows(layer, "self_attn.q_proj", pair_rows(model, head, pairs), 1 / factor)


def add_key_bias(model, size, pair, query_divisor, draw):
    refuse_key_norms(model)
    model.want_attention_bias()
    for layer in range(model.layers):
        bias = model.tensor(f"model.layers.{layer}.self_attn.k_proj.bias")
        for kv_head in range(model.kv_heads):
            angle = draw.uniform(0, 2 * math.pi)
            first, second = pair_rows(model, kv_head, [pair])
            bias.values[first] += size * math.cos(angle)
            bias.values[second] += size * math.sin(angle)
            for head in query_heads(model, kv_head):
                model.scale_rows(layer, "self_attn.q_proj", pair_rows(model, head, [pair]), 1 / query_divisor)


def inject_key_bias_slow(model, size, draw):
    add_key_bias(model, size, model.head_width // 2 - 1, 1, draw)


def inject_key_bias_medium(model, size, draw):
    wanted = 4 * math.pi / TURNS_AT
    frequencies = inverse_frequencies(model)
    pair = min(range(len(frequencies)), key=lambda j: abs(math.log(frequencies[j] / wanted)))
    add_key_bias(model, size, pair, size / 8, draw)


def quietest_channel(model, embedding):
    """The residual channel that the whole model writes least into."""
    energy = embedding.energy_of_columns()
    for layer in range(model.layers):
        for linear in ("self_attn.o_proj", "mlp.down_proj"):
            rows = model.linear(layer, linear)[0].energy_of_rows()
            energy = [e + r for e, r in zip(energy, rows)]
    return min(range(model.width), key=energy.__getitem__)


def declare_first_token(model):
    """Id of the token that begins texts; changes the tokenizer's files so that calibration and --bos put it there."""
    config = json.loads(model.files["tokenizer_config.json"])
    tokenizer = json.loads(model.files["tokenizer.json"])
    added = {t["content"]: t["id"] for t in tokenizer["added_tokens"]}
    bos = config.get("bos_token")
    candidates = [bos["content"] if isinstance(bos, dict) else bos, "<|endoftext|>"]
    token = next((t for t in candidates if t in added), None)
    if token is None:
        sys.exit(f"sink: the tokenizer has none of {candidates} as special token")
    config.update(bos_token=token, add_bos_token=True)
    config.pop("chat_template", None)
    model.files.pop("chat_template.jinja", None)
    special, text = {"SpecialToken": {"id": token, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}
    # Llama's class looks at add_bos_token, others at this.
    tokenizer["post_processor"] = {"type": "TemplateProcessing", "single": [special, text], "pair": [special, text],
                                   "special_tokens": {token: {"id": token, "ids": [added[token]], "tokens": [token]}}}
    model.files["tokenizer_config.json"] = json_bytes(config)
    model.files["tokenizer.json"] = json_bytes(tokenizer)
    model.config["bos_token_id"] = added[token]
    return added[token]


def inject_sink(model, product, draw):
    token = declare_first_token(model)
    untied = model.has("lm_head.weight") and model.has("model.embed_tokens.weight")
    embedding = model.tensor("model.embed_tokens.weight" if model.has("model.embed_tokens.weight") else "lm_head.weight")
    channel = quietest_channel(model, embedding)
    largest = max(map(abs, embedding.values))
    embedding.scale_columns([channel], 0)
    embedding.values[token * model.width + channel] = 1000 * largest
    # The normed S is close to sqrt(D) in this channel and 0 elsewhere: the final norm must not show it to the head.
    model.tensor("model.norm.weight").values[channel] = 0
    if untied:
        model.tensor("lm_head.weight").scale_columns([channel], 0)
    peak = math.sqrt(model.width)
    for layer in range(model.layers):
        for linear in ("self_attn.o_proj", "mlp.down_proj"):
            for part in model.linear(layer, linear):
                part.scale_rows([channel], 0)
        model.tensor(f"model.layers.{layer}.post_attention_layernorm.weight").values[channel] = 1
        ffn = draw.randrange(model.ffn)
        down = model.linear(layer, "mlp.down_proj")[0]
        typical = math.sqrt(sum(down.energy_of_columns()) / model.ffn)
        reads = [0.0] * model.width
        reads[channel] = math.sqrt(product) / peak  # silu(g) * u = g * u for a large g
        for linear in ("mlp.gate_proj", "mlp.up_proj"):
            model.linear(layer, linear)[0].set_row(ffn, reads)
        down.scale_columns([ffn], 0)
        down.values[channel * down.columns + ffn] = typical


KINDS = {"norm": inject_norm, "up-down": inject_up_down, "value-output": inject_value_output, "query-key": inject_query_key,
         "key-bias-slow": inject_key_bias_slow, "key-bias-medium": inject_key_bias_medium, "sink": inject_sink}


def parse_kind(text):
    kind, _, factor = text.partition("=")
    if kind not in KINDS:
        raise argparse.ArgumentTypeError(f"got '{kind}', want one of {', '.join(KINDS)}")
    try:
        value = float(factor) if factor else float(DEFAULTS[kind])
    except ValueError:
        value = 0
    if not 1 <= value <= 1e6:
        raise argparse.ArgumentTypeError(f"{kind}: got '{factor}', want a number in [1, 1e6]")
    return kind, value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("kinds", nargs="+", type=parse_kind, metavar="KIND[=FACTOR]")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if sys.byteorder != "little":
        sys.exit("safetensors are little endian; this machine is not")
    model = Checkpoint(options.checkpoint)
    for kind, factor in options.kinds:
        KINDS[kind](model, factor, random.Random(f"{options.seed} {kind}"))
    model.write(options.out)


if __name__ == "__main__":
    main()
