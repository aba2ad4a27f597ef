#!/usr/bin/env python3
"""Writes cases.json: what Jinja2, set up as transformers.apply_chat_template does, makes of the templates here.
Needs `pip install transformers jinja2` (transformers 5.23, jinja2 3.1.6 made the file that is here)."""
import datetime
import json
import os
import pathlib

os.environ["TZ"] = "UTC"
NOW = 1735732800  # 2025-01-01 12:00 UTC: the same day in every time zone but the outermost

from transformers.utils import chat_template_utils

class FixedTime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.datetime.fromtimestamp(NOW)

chat_template_utils.datetime = FixedTime

USER = {"role": "user", "content": " Hi! "}
REPLY = {"role": "assistant", "content": "Hello <you> & \"all\"."}
SYSTEM = {"role": "system", "content": "Be brief."}
AGAIN = {"role": "user", "content": "日本語 🙂\nline two"}
CALL = {"role": "assistant", "content": "", "tool_calls": [
    {"id": "1", "type": "function", "function": {"name": "add", "arguments": {"b": 2, "a": 1.5, "s": "<é>"}}}]}
ANSWER = {"role": "tool", "content": "3.5"}
TOOLS = [{"type": "function", "function": {"name": "add", "description": "Adds \"a\" & b", "parameters": {
    "type": "object", "properties": {"b": {"type": "integer"}, "a": {"type": "number"}}, "required": ["a", "b"]}}}]
PARTS = {"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image"}]}
THINK = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nYes!"}

CONVERSATIONS = {
    "one": [USER], "system": [SYSTEM, USER], "turns": [USER, REPLY, AGAIN], "all": [SYSTEM, USER, REPLY, AGAIN],
    "twice": [USER, AGAIN], "tools": [SYSTEM, USER, CALL, ANSWER], "parts": [PARTS], "think": [USER, THINK, AGAIN],
    "loops": [USER, {"role": "skip", "content": "x"}, REPLY, {"role": "end", "content": ""}, AGAIN],
}
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}

def main():
    here = pathlib.Path(__file__).parent
    cases = []
    for path in sorted(here.glob("*.jinja")):
        template = chat_template_utils._compile_jinja_template(path.read_text())
        for name, messages in CONVERSATIONS.items():
            for variables in ({}, {"tools": TOOLS, "extra": {"z": 1, "a": [0.1, None]}}):
                prompt = not variables
                case = {"template": path.name, "messages": messages, "add_generation_prompt": prompt,
                        "variables": variables}
                values = {"tools": None, "documents": None, **TOKENS, **variables}
                try:
                    case["text"] = template.render(messages=messages, add_generation_prompt=prompt, **values)
                except Exception as error:
                    case["error"] = str(error)
                cases.append(case)
    out = {"now_unix_seconds": NOW, "special_tokens": TOKENS, "cases": cases}
    (here / "cases.json").write_text(json.dumps(out, ensure_ascii=False, indent=1) + "\n")
    print(len(cases), "cases,", sum("error" in case for case in cases), "of them errors")

main()
