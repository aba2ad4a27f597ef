#!/usr/bin/env python3
"""The same seed gives the same text, byte by byte, through every API and the command line: chats and raw prompts, streamed and not, all at
once, with every knob that an API has said, with the seed alone, and greedily."""
import concurrent.futures
import json
import subprocess

from live_server import DEMO, HOTARU, LiveServer, Report

TOKENS = 48
PROMPTS = ["Tell me a story about a fox.", "Wie heißt du? 你好 🙂"]
# By Hotaru's own names (as of the command line); with what the APIs for agents do not know.
COMMON = {"temperature": 0.8, "top_k": 40, "top_p": 0.9, "min_p": 0.02, "repetition_penalty": 1.1}
SETTINGS = {
    "every knob": {"seed": 7, **COMMON},
    "penalties": {"seed": 8, **COMMON, "frequency_penalty": 0.5, "presence_penalty": 0.25},
    "the seed alone": {"seed": 9},
    "greedy": {"seed": 10, "temperature": 0.0, "repetition_penalty": 1.0},
}


def said_by_cli(prompt, settings, *more):
    options = [text for name, value in settings.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    done = subprocess.run([HOTARU, "run", str(DEMO), prompt, "-n", str(TOKENS), "--json", "--quiet", *options, *more], check=True,
                          capture_output=True, text=True)
    return json.loads(done.stdout)["text"]


def ollama(settings):
    options = {{"repetition_penalty": "repeat_penalty"}.get(name, name): value for name, value in settings.items()}
    return {"options": {**options, "num_predict": TOKENS}}


# How each API is asked, and where its text is: (path, request, text of an answer in one piece, text of an event of a stream).
def chats(prompt, settings):
    message = [{"role": "user", "content": prompt}]
    has_penalties = "frequency_penalty" in settings
    yield ("/api/generate", {"prompt": prompt, **ollama(settings)}, lambda a: a["response"], lambda e: e["response"])
    yield ("/api/chat", {"messages": message, **ollama(settings)}, lambda a: a["message"]["content"], lambda e: e["message"]["content"])
    yield ("/v1/chat/completions", {"messages": message, "max_tokens": TOKENS, **settings}, lambda a: a["choices"][0]["message"]["content"],
           lambda e: e["choices"][0]["delta"].get("content", ""))
    if has_penalties:  # these two know none
        return
    yield ("/v1/responses", {"input": prompt, "max_output_tokens": TOKENS, **settings}, lambda a: a["output"][0]["content"][0]["text"],
           lambda e: e["delta"] if e["type"] == "response.output_text.delta" else "")
    yield ("/v1/messages", {"messages": message, "max_tokens": TOKENS, **settings}, lambda a: a["content"][0]["text"],
           lambda e: e["delta"].get("text", "") if e["type"] == "content_block_delta" else "")


def raws(prompt, settings):
    yield ("/api/generate", {"prompt": prompt, "raw": True, **ollama(settings)}, lambda a: a["response"], lambda e: e["response"])
    yield ("/v1/completions", {"prompt": prompt, "max_tokens": TOKENS, **settings}, lambda a: a["choices"][0]["text"],
           lambda e: e["choices"][0]["text"])


def said_by_api(server, path, body, text_of, part_of, streams):
    status, answer = server.ask("POST", path, {"model": "demo", **body, "stream": streams})
    if status != 200:
        return f"{status} {answer.decode()}"
    if not streams:
        return text_of(json.loads(answer))
    lines = [line.removeprefix(b"data: ") for line in answer.splitlines() if line.startswith((b"{", b"data: {"))]
    return "".join(part_of(json.loads(line)) for line in lines)


def main():
    check = Report()
    with LiveServer("--quiet") as server, concurrent.futures.ThreadPoolExecutor(32) as pool:
        asked = []
        for setting, settings in SETTINGS.items():
            for prompt in PROMPTS:
                for kind, apis, more in (("a chat", chats, ()), ("a raw prompt", raws, ("--raw",))):
                    answers = [(f"{path}{', streamed' if streams else ''}",
                                pool.submit(said_by_api, server, path, body, text_of, part_of, streams))
                               for path, body, text_of, part_of in apis(prompt, settings) for streams in (False, True)]
                    asked.append((f"{kind} with {setting} ({prompt[:4]}...)", said_by_cli(prompt, settings, *more), answers))
        texts = set()
        for name, text, answers in asked:
            texts.add(text)
            other = [f"{who} says {answer.result()!r}" for who, answer in answers if answer.result() != text]
            check(text and not other, f"{name}: {len(answers)} ways to ask say what `hotaru run` says", f"{text!r}, but {'; '.join(other)}" if other else "")
        check(len(texts) == len(asked), "and other seeds and prompts say something else")
    check.end()


main()
