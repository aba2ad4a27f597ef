"""Writes a GGUF file of a Qwen2 config.json's shape with random weights, for measuring speed only.

Matrices are Q4_0, the embedding (which is the head too) Q6_K, as llama.cpp's own quantiser would choose them. A megabyte
of random blocks is repeated all through the file: values do not matter to the speed, and it is written in seconds.
"""

import json
import random
import struct

F32, Q4_0, Q6_K = 0, 2, 14
BLOCK_INPUTS = {F32: 1, Q4_0: 32, Q6_K: 256}
BLOCK_BYTES = {F32: 4, Q4_0: 18, Q6_K: 210}
ALIGNMENT = 32


def text(value):
    value = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(value)) + value


def value(key, kind, data):
    return text(key) + struct.pack("<I", kind) + data


def u32(key, number):
    return value(key, 4, struct.pack("<I", number))


def f32(key, number):
    return value(key, 6, struct.pack("<f", number))


def string(key, words):
    return value(key, 8, text(words))


def strings(key, words):
    return value(key, 9, struct.pack("<IQ", 8, len(words)) + b"".join(text(word) for word in words))


def integers(key, numbers):
    return value(key, 9, struct.pack(f"<IQ{len(numbers)}i", 5, len(numbers), *numbers))


def vocabulary(size):
    """256 tokens of a byte each, in GPT-2's alphabet, then fillers and Qwen's three special tokens."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}
    tokens = [letters[byte] for byte in range(256)] + ["ab"]
    tokens += [f"tok{i}" for i in range(len(tokens), size - 3)]
    return tokens + ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def metadata(config):
    size = config["vocab_size"]
    return [
        string("general.architecture", "qwen2"),
        string("general.name", "random weights"),
        u32("general.file_type", 2),
        u32("general.quantization_version", 2),
        u32("qwen2.block_count", config["num_hidden_layers"]),
        u32("qwen2.context_length", config["max_position_embeddings"]),
        u32("qwen2.embedding_length", config["hidden_size"]),
        u32("qwen2.feed_forward_length", config["intermediate_size"]),
        u32("qwen2.attention.head_count", config["num_attention_heads"]),
        u32("qwen2.attention.head_count_kv", config["num_key_value_heads"]),
        f32("qwen2.rope.freq_base", config["rope_theta"]),
        f32("qwen2.attention.layer_norm_rms_epsilon", config["rms_norm_eps"]),
        string("tokenizer.ggml.model", "gpt2"),
        string("tokenizer.ggml.pre", "qwen2"),
        strings("tokenizer.ggml.tokens", vocabulary(size)),
        integers("tokenizer.ggml.token_type", [1] * (size - 3) + [3] * 3),
        strings("tokenizer.ggml.merges", ["a b"]),
        u32("tokenizer.ggml.eos_token_id", size - 1),
        u32("tokenizer.ggml.padding_token_id", size - 3),
        u32("tokenizer.ggml.bos_token_id", size - 3),
        value("tokenizer.ggml.add_bos_token", 7, b"\0"),
    ]


def tensors(config):
    """(name, inputs, outputs, type) of every tensor."""
    width, ffn = config["hidden_size"], config["intermediate_size"]
    head = width // config["num_attention_heads"]
    kv = head * config["num_key_value_heads"]
    yield "token_embd.weight", width, config["vocab_size"], Q6_K
    yield "output_norm.weight", width, 1, F32
    for layer in range(config["num_hidden_layers"]):
        place = f"blk.{layer}."
        yield place + "attn_norm.weight", width, 1, F32
        for name, outputs in (("q", width), ("k", kv), ("v", kv)):
            yield f"{place}attn_{name}.weight", width, outputs, Q4_0
            yield f"{place}attn_{name}.bias", outputs, 1, F32
        yield place + "attn_output.weight", width, width, Q4_0
        yield place + "ffn_norm.weight", width, 1, F32
        yield place + "ffn_gate.weight", width, ffn, Q4_0
        yield place + "ffn_up.weight", width, ffn, Q4_0
        yield place + "ffn_down.weight", ffn, width, Q4_0


def blocks_of(kind, source):
    """About a megabyte of whole blocks whose values are of a trained model's size."""
    count = (1 << 20) // BLOCK_BYTES[kind]
    if kind == F32:
        return struct.pack("<f", 1.0) * count
    if kind == Q4_0:
        return b"".join(struct.pack("<e", source.uniform(0.004, 0.008)) + source.randbytes(16) for _ in range(count))
    scales = bytes(range(40, 56))
    return b"".join(
        source.randbytes(192) + scales + struct.pack("<e", source.uniform(1e-5, 3e-5)) for _ in range(count)
    )


def write(config_path, path):
    with open(config_path, encoding="utf-8") as file:
        config = json.load(file)
    source = random.Random(1)
    templates = {kind: blocks_of(kind, source) for kind in BLOCK_BYTES}
    infos, sizes, offset = b"", [], 0
    for name, inputs, outputs, kind in tensors(config):
        size = inputs // BLOCK_INPUTS[kind] * outputs * BLOCK_BYTES[kind]
        shape = struct.pack("<IQ", 1, inputs) if outputs == 1 else struct.pack("<IQQ", 2, inputs, outputs)
        infos += text(name) + shape + struct.pack("<IQ", kind, offset)
        sizes.append((size, templates[kind]))
        offset += (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
    pairs = metadata(config)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(sizes), len(pairs)) + b"".join(pairs) + infos
    with open(path, "wb") as file:
        file.write(head + bytes(-len(head) % ALIGNMENT))
        for size, template in sizes:
            for _ in range(size // len(template)):
                file.write(template)
            file.write(template[: size % len(template)] + bytes(-size % ALIGNMENT))
