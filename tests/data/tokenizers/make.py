#!/usr/bin/env python3
"""Writes llama2_style.json, metaspace_style.json (the same vocabulary, written with Metaspace) and their *_expected.json.
Needs `pip install tokenizers` (0.23.3 made the files that are here). The vocabulary is trained on the project's own
README-like text below and on texts.inp; it is a stand-in for Llama-2's: byte fallback, leading spaces, <s> in front."""
import json
import pathlib

import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors, trainers

here = pathlib.Path(__file__).parent
texts = (here / "texts.inp").read_text().split("\n__ggml_vocab_test__\n")[:-1]
more = ["", " ", "  two leading", "tab\tnew\nline ", "<s>", "a<s>b", " <s> b</s>", "</s>", "é€😀", "\u0000", "�", "x\u200by",
        "日本語のテキスト", "שלום", "👩‍👩‍👧‍👦 family", "▁under▁score"]
sample = [
    "A small light that needs almost no power takes a large language model from a checkpoint to the edge.",
    "The same file gives the same text on every machine, and the tests say so for each of them.",
    "Once upon a time there was a king who had three daughters, and the youngest of them was the one who asked.",
] * 20 + [text for text in texts if text.isascii()]

def save(name, tokenizer):
    (here / f"{name}.json").write_text(tokenizer.to_str())
    cases = []
    for text in texts + more:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        cases.append({"text": text, "ids": ids, "with_special": tokenizer.encode(text).ids,
                      "decoded": tokenizer.decode(ids, skip_special_tokens=False),
                      "skipped": tokenizer.decode(ids, skip_special_tokens=True)})
    (here / f"{name}_expected.json").write_text(json.dumps(cases, ensure_ascii=False) + "\n")

specials = ["<unk>", "<s>", "</s>"]
tokenizer = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
trainer = trainers.BpeTrainer(vocab_size=600, show_progress=False,
                              special_tokens=specials + [f"<0x{byte:02X}>" for byte in range(256)])
tokenizer.train_from_iterator(sample, trainer)
state = json.loads(tokenizer.to_str())
state["added_tokens"] = [dict(token, normalized=False) for token in state["added_tokens"] if token["content"] in specials]
state["pre_tokenizer"] = None
state["model"]["byte_fallback"] = True
tokenizer = tokenizers.Tokenizer.from_str(json.dumps(state))
tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                       decoders.Strip(" ", 1, 0)])
tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
save("llama2_style", tokenizer)

tokenizer.normalizer = None
tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first"), decoders.Fuse()])
save("metaspace_style", tokenizer)
