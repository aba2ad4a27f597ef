#!/usr/bin/env python3
"""`hotaru serve` against those who mean harm or are mistaken: every field of every JSON endpoint with values of other types, what is no
HTTP, no JSON and no text, slow heads and bodies, names that are paths. Nothing of it may end the server, be answered as if it were good,
leave a file, or disturb those who ask properly."""
import http.client
import json
import random
import socket
import sys
import threading
import time

from live_server import ROOT, LiveServer, Report

sys.path.insert(0, str(ROOT / "tests/clients"))
from cases import TEMPLATE  # noqa: E402: a chat template that knows tools

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
FUNCTION = {"name": "add", "description": "Adds.", "parameters": SCHEMA}
OPTIONS = {"temperature": 0.5, "top_p": 0.9, "min_p": 0.01, "repeat_penalty": 1.1, "presence_penalty": 0.1, "frequency_penalty": 0.1,
           "top_k": 40, "seed": 7, "num_predict": 1, "num_keep": 4, "stop": ["x", "y"], "num_ctx": 2048, "num_batch": 1, "num_gpu": 0,
           "main_gpu": 0, "num_thread": 1, "repeat_last_n": 64, "typical_p": 1.5, "use_mmap": True}
OLLAMA = {"model": "demo", "lora": "", "stream": False, "format": SCHEMA, "think": False, "logprobs": True, "top_logprobs": 1,
          "shift": False, "truncate": True, "keep_alive": "5m", "options": OPTIONS}
SAMPLING = {"model": "demo", "lora": "", "keep_alive": "5m", "temperature": 0.5, "top_p": 0.9, "min_p": 0.01, "repetition_penalty": 1.1,
            "top_k": 40, "seed": 7}
OPENAI = {**SAMPLING, "frequency_penalty": 0.1, "presence_penalty": 0.1, "logit_bias": {"5": -1.5}, "stop": ["x", "y"], "max_tokens": 1,
          "n": 1, "stream": True, "stream_options": {"include_usage": True}}
JSON_SCHEMA = {"name": "s", "strict": True, "schema": SCHEMA}
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}

# (method, path, a good request that says every field)
REQUESTS = [
    ("POST", "/api/generate", {**OLLAMA, "prompt": "Once", "suffix": "", "images": [], "system": "s", "template": TEMPLATE,
                               "context": [1, 2], "raw": False}),
    ("POST", "/api/chat", {**OLLAMA, "model": "tools", "messages": [
        {"role": "user", "content": "Hello", "images": []},
        {"role": "assistant", "content": "", "thinking": "hm",
         "tool_calls": [{"id": "c", "function": {"name": "add", "arguments": {"a": 1}, "index": 0}}]},
        {"role": "tool", "content": "2", "tool_name": "add", "tool_call_id": "c"}],
        "tools": [{"type": "function", "function": FUNCTION}]}),
    ("POST", "/api/embed", {"model": "demo", "input": ["a", "b"], "truncate": True, "dimensions": 8, "lora": "", "keep_alive": "5m",
                            "options": OPTIONS}),
    ("POST", "/api/embeddings", {"model": "demo", "prompt": "a", "lora": "", "keep_alive": "5m", "options": OPTIONS}),
    ("POST", "/api/show", {"model": "demo"}),
    ("POST", "/api/copy", {"source": "demo", "destination": "copied"}),
    ("POST", "/api/create", {"model": "made", "from": "demo", "lora": "", "system": "s", "template": TEMPLATE, "license": ["a", "b"],
                             "parameters": OPTIONS, "stream": False, "files": {}}),
    ("POST", "/api/pull", {"model": "demo", "stream": False}),
    ("DELETE", "/api/delete", {"model": "copied"}),
    ("POST", "/v1/chat/completions", {**OPENAI, "model": "tools", "max_completion_tokens": 1, "logprobs": True, "top_logprobs": 1,
                                      "reasoning_effort": "none", "response_format": {"type": "text"},
                                      "tools": [{"type": "function", "function": FUNCTION}], "tool_choice": "auto",
                                      "parallel_tool_calls": True, "chat_template_kwargs": {"a": 1}, "messages": [
        {"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
        {"role": "assistant", "content": "", "reasoning": "hm", "reasoning_content": "", "refusal": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "2", "tool_call_id": "c1"}]}),
    ("POST", "/v1/chat/completions", {"model": "demo", "max_tokens": 1, "messages": [{"role": "user", "content": "Hello"}],
                                      "response_format": {"type": "json_schema", "json_schema": JSON_SCHEMA}}),
    ("POST", "/v1/completions", {**OPENAI, "prompt": ["Once", [1, 2]], "suffix": "", "best_of": 1, "echo": False, "logprobs": 1,
                                 "response_format": {"type": "text"}}),
    ("POST", "/v1/completions", {"model": "demo", "max_tokens": 1, "prompt": [1, 2, 3]}),
    ("POST", "/v1/embeddings", {"model": "demo", "lora": "", "keep_alive": "5m", "input": ["a", [1, 2]], "dimensions": 8,
                                "encoding_format": "float"}),
    ("POST", "/v1/responses", {**SAMPLING, "model": "tools", "max_output_tokens": 1, "background": False, "top_logprobs": 0,
                               "stream": False, "metadata": {}, "truncation": "auto", "reasoning": {"effort": "none"},
                               "text": {"format": {"type": "json_schema", **JSON_SCHEMA}}, "instructions": "s",
                               "tools": [{"type": "function", **FUNCTION}], "tool_choice": "auto", "parallel_tool_calls": True,
                               "input": [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "function_call", "call_id": "c1", "name": "add", "arguments": '{"a": 1}'},
        {"type": "function_call_output", "call_id": "c1", "output": "2"}]}),
    ("POST", "/v1/messages", {**SAMPLING, "model": "tools", "max_tokens": 1, "stop_sequences": ["x"], "stream": False, "system": "s",
                              "thinking": {"type": "disabled"}, "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
                              "tools": [{"type": "custom", "name": "add", "description": "Adds.", "input_schema": SCHEMA}],
                              "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}, "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"},
                                          {"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "2", "is_error": False}]}]}),
    ("POST", "/v1/messages/count_tokens", {"model": "demo", "system": "s", "messages": [{"role": "user", "content": "Hello"}]}),
]
# What may be of other types than the good request shows, by the field's name or whole path.
ALSO = {"keep_alive": (int, float, str), "stop": (str, list), "format": (str, dict), "think": (bool, str), "license": (str, list),
        "prompt": (str, list), "input": (str, list), "input[]": (str, list, int), "prompt[]": (str, list, int), "tool_choice": (str, dict),
        "schema": (bool, dict), "output": (str, list), "system": (str,)}
CONTENT = {"/v1/chat/completions": (str, list), "/v1/responses": (str, list), "/v1/messages": (str, list),
           "/v1/messages/count_tokens": (str, list)}
# JSON that is the model's or the client's own: what is in it is nobody's mistake.
OPAQUE = {"parameters", "input_schema", "schema", "arguments", "chat_template_kwargs", "metadata"}


def is_opaque(key, place, inner):
    """A JSON schema, the arguments of a call, a client's notes."""
    if place == "parameters":  # of a model
        return False
    return key in OPAQUE or key == "input" and isinstance(inner, dict) or key == "format" and "properties" in inner


OTHERS = [True, 7, -0.5, "text", [], [[7]], {}, {"a": 1}]


def places(value, path=""):
    """(path, name, value) of everything in a request."""
    if isinstance(value, dict):
        for key, inner in value.items():
            place = f"{path}.{key}" if path else key
            yield place, key, inner
            if not is_opaque(key, place, inner):
                yield from places(inner, place)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            place, name = f"{path}[{i}]", path.rsplit(".", 1)[-1] + "[]"
            yield place, name, inner
            yield from places(inner, place)


def accepted(path, place, name, value):
    """The types that may stand there."""
    if place == "input" and isinstance(value, list) and path == "/v1/responses":
        return (str, list)
    if name == "input" and isinstance(value, dict):  # of a tool that was called
        return (dict,)
    if name == "content" and path in CONTENT and "tool_result" not in place:
        return CONTENT[path]
    if name == "format" and not path.startswith("/api"):
        return (dict,)
    if name == "prompt" and path.startswith("/api") or name == "input[]" and path in ("/v1/responses", "/api/embed"):
        return (type(value),)
    if name == "system" and path.startswith("/v1/messages"):
        return (str, list)
    if name == "tool_choice" and path == "/v1/messages":
        return (dict,)
    if isinstance(value, float):
        return (int, float)
    return ALSO.get(name, (type(value),))


def with_other(value, place, other):
    """The request with `other` at the place."""
    copy = json.loads(json.dumps(value))
    parts = place.replace("[", ".[").split(".")
    at = copy
    for i, part in enumerate(parts):
        key = int(part[1:-1]) if part.startswith("[") else part
        if i == len(parts) - 1:
            at[key] = other
        else:
            at = at[key]
    return copy


def message_of(body):
    error = json.loads(body).get("error")
    return error if isinstance(error, str) else error["message"]


def wrong_types(server, check):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)

    def ask(method, path, body):
        connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    asked = 0
    for method, path, good in REQUESTS:
        wrong = []
        for place, name, value in places(good):
            for other in OTHERS:
                if type(other) in accepted(path, place, name, value):
                    continue
                status, body = ask(method, path, with_other(good, place, other))
                asked += 1
                if status != 400:
                    wrong.append(f"{place} = {json.dumps(other)}: {status} {body[:200].decode()}")
                elif place not in message_of(body):
                    wrong.append(f"{place} = {json.dumps(other)} is not named: {message_of(body)}")
        check(not wrong, f"{path}: a wrong type in any field is a 400 that names it", "; ".join(wrong[:8]))
        if path == "/api/pull":  # no registry
            continue
        status, body = ask(method, path, good)
        check(status == 200, f"{path}: with good types it is answered", "" if status == 200 else body[:300].decode())
        if status == 200 and path != "/api/delete":
            nulls = {key: value for key, value in good.items() if key in ("model", "messages", "prompt", "input", "max_tokens", "source",
                                                                          "destination", "from")}
            status, body = ask(method, path, {**dict.fromkeys(good), **nulls, "no_such_field": {"a": [1]}})
            check(status == 200, f"{path}: null is as absent, and unknown fields are passed over", "" if status == 200 else body[:300].decode())
    print(f"# {asked} requests with a value of a wrong type")


def talk(server, data, seconds=5.0):
    """All that comes back for these bytes until the server closes; the client's side stays open."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as one:
        answer = b""
        try:
            one.sendall(data)
            while part := one.recv(65536):
                answer += part
        except (TimeoutError, ConnectionError):
            pass
        return answer


def head(lines, method="POST /api/show"):
    return (f"{method} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + "".join(line + "\r\n" for line in lines) + "\r\n").encode()


def no_http(server, check):
    show = b'{"model": "demo"}'
    length = f"Content-Length: {len(show)}"
    cases = [
        ("a good one", head([length]) + show, {b"200"}),
        ("100 KiB of one header", head(["X-Long: " + "x" * 100_000]), {b"431"}),
        ("10000 headers", head([f"X-{i}: y" for i in range(10_000)]), {b"431"}),
        ("a target of 100 KiB", head([], "GET /" + "a" * 100_000), {b"431", b"414"}),
        ("a body of 65 MiB that is only said", head([f"Content-Length: {65 << 20}"]), {b"413"}),
        ("a blob of a tebibyte", head([f"Content-Length: {1 << 40}"], "POST /api/blobs/sha256:" + "0" * 64), {b"413"}),
        ("a length beyond 64 bits", head(["Content-Length: 99999999999999999999999"]), {b"400"}),
        ("a negative length", head(["Content-Length: -1"]), {b"400"}),
        ("two lengths", head([length, "Content-Length: 3"]) + show, {b"400"}),
        ("a length and chunks", head([length, "Transfer-Encoding: chunked"]) + b"0\r\n\r\n", {b"400"}),
        ("a chunk beyond 64 bits", head(["Transfer-Encoding: chunked"]) + b"FFFFFFFFFFFFFFFFF\r\n", {b"400"}),
        ("chunks that are none", head(["Transfer-Encoding: chunked"]) + b"zz\r\n", {b"400"}),
        ("another coding", head(["Transfer-Encoding: gzip"]), {b"400", b"501"}),
        ("no host", b"GET /api/tags HTTP/1.1\r\nConnection: close\r\n\r\n", {b"400"}),
        ("two hosts", head(["Host: 127.0.0.1"], "GET /api/tags"), {b"400"}),
        ("NUL in a header", head(["X-A: a\0b"], "GET /api/tags"), {b"400"}),
        ("a header without a name", head([": b"], "GET /api/tags"), {b"400"}),
        ("a method of its own", head([], "BREW /api/tags"), {b"405"}),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {b"400", b"505", b""}),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n", {b"400", b""}),
    ]
    for name, data, wanted in cases:
        answer = talk(server, data)
        status = answer[9:12]
        check(status in wanted, f"no HTTP: {name}", "" if status in wanted else f"got {answer[:200]!r}, want {wanted}")
    whole = b'{"model": "' + b"x" * (66 << 20)
    answer = talk(server, head(["Transfer-Encoding: chunked"]) + b"%x\r\n" % len(whole) + whole)
    check(answer[9:12] in (b"413", b""), "no HTTP: 66 MiB in one chunk", repr(answer[:80]))


def no_json(server, check):
    deep = b"[" * 100_000
    cases = {
        "nothing": b"", "half an object": b'{"model": ', "a list": b"[]", "a number": b"7",
        "deep lists": deep, "deep lists, closed": deep + b"]" * 100_000, "deep objects": b'{"a":' * 100_000,
        "deep below a field": b'{"model": "demo", "prompt": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        "a number without end": b'{"model": "demo", "prompt": "a", "options": {"seed": ' + b"9" * 1_000_000 + b"}}",
        "a number beyond double": b'{"model": "demo", "prompt": "a", "options": {"temperature": 1e999}}',
        "NaN": b'{"model": "demo", "prompt": "a", "options": {"temperature": NaN}}',
        "bytes that are no UTF-8": b'{"model": "demo", "prompt": "\xff\xfe"}', "a cut character": b'{"model": "demo", "prompt": "\xe2\x82"}',
        "a surrogate in UTF-8": b'{"model": "demo", "prompt": "\xed\xa0\x80"}', "an overlong slash": b'{"model": "..\xc0\xafdemo"}',
        "half a surrogate pair": b'{"model": "demo", "prompt": "\\ud800"}', "a comment": b'{"model": "demo" /* x */}',
        "UTF-16": '{"model": "demo"}'.encode("utf-16"), "two objects": b'{"model": "demo"}{"model": "demo"}', "NUL": b'{"model": "demo"\0}',
    }
    for name, body in cases.items():
        wrong = []
        for path in ("/api/generate", "/api/chat", "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/api/create"):
            status, answer = server.ask("POST", path, body)
            if status != 400 or not message_of(answer):
                wrong.append(f"{path}: {status} {answer[:120]!r}")
        check(not wrong, f"no JSON: {name}", "; ".join(wrong))


NAMES = ["../demo", "/etc/passwd", "a/../../demo", "..", ".", "./demo", "demo/", "a//b", ".hidden", "demo:../x", "..%2fdemo", "%2e%2e/demo",
         "demo\0", "demo\n", "x" * 1000, "a/" * 50 + "b", "C:\\demo", "..\\demo", "demo hef", "-rf", "blobs/../demo",
         "～/demo", "file:///etc/passwd", "demo@sha256:" + "0" * 64]


def names(server, check):
    files = lambda: {str(path) for path in [*server.models.parent.glob(server.models.name + "*"), *server.models.rglob("*")]}
    before = files()
    messages = [{"role": "user", "content": "a"}]
    asks = [("POST", "/api/generate", lambda n: {"model": n, "prompt": "a"}), ("POST", "/api/chat", lambda n: {"model": n, "messages": messages}),
            ("POST", "/api/embed", lambda n: {"model": n, "input": "a"}), ("POST", "/api/show", lambda n: {"model": n}),
            ("POST", "/api/copy", lambda n: {"source": "demo", "destination": n}), ("POST", "/api/copy", lambda n: {"source": n, "destination": "b"}),
            ("DELETE", "/api/delete", lambda n: {"model": n}), ("POST", "/api/create", lambda n: {"model": n, "from": "demo", "system": "s"}),
            ("POST", "/api/create", lambda n: {"model": "b", "from": n, "system": "s"}), ("POST", "/api/pull", lambda n: {"model": n}),
            ("POST", "/v1/chat/completions", lambda n: {"model": n, "messages": messages}),
            ("POST", "/v1/completions", lambda n: {"model": n, "prompt": "a"}), ("POST", "/v1/responses", lambda n: {"model": n, "input": "a"}),
            ("POST", "/v1/embeddings", lambda n: {"model": n, "input": "a"}),
            ("POST", "/v1/messages", lambda n: {"model": n, "max_tokens": 1, "messages": messages})]
    wrong = []
    for name in NAMES:
        for method, path, body in asks:
            status, answer = server.ask(method, path, body(name))
            if status not in (400, 404) or b"passwd:" in answer or b"root:" in answer:
                wrong.append(f"{path} {name[:40]!r}: {status} {answer[:120]!r}")
    check(not wrong, f"names that are paths: {len(NAMES)} of them at {len(asks)} endpoints", "; ".join(wrong[:5]))
    wrong = []
    for path in ("/v1/models/..%2f..%2fetc%2fpasswd", "/v1/models/%2e%2e/%2e%2e/etc/passwd", "/v1/models/../../etc/passwd", "/v1/models/%00",
                 "/v1/models/demo%00", "/api/blobs/sha256:..%2f..%2fdemo.hef", "/api/blobs/..%2fdemo.hef", "/../../etc/passwd", "/%ff", "/%zz"):
        status, answer = server.ask("GET" if "blobs" not in path else "HEAD", path)
        if status not in (400, 404):
            wrong.append(f"{path}: {status} {answer[:120]!r}")
    check(not wrong, "paths in addresses", "; ".join(wrong))
    status, _ = server.ask("POST", "/api/blobs/sha256:..%2f..%2fx", b"bytes")
    check(status in (400, 404), "a blob whose digest is a path", str(status))
    status, answer = server.ask("POST", "/api/blobs/sha256:" + "0" * 64, b"bytes")
    check(status == 400 and b"digest mismatch" in answer, "a blob of another digest", f"{status} {answer.decode()}")
    # The refused upload's temporary file goes a moment after the answer.
    end = time.monotonic() + 10
    while files() != before and time.monotonic() < end:
        time.sleep(0.05)
    check(files() == before, "no file has come or gone", str(files() ^ before))


class Drips:
    """Clients that send a byte now and then: of a head, and of a body."""

    def __init__(self, server, count=50):
        self.start = time.monotonic()
        self.heads = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(count)]
        self.bodies = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(count)]
        self.closed_after = []
        self.answers = []
        for one in self.bodies:
            one.sendall(head([f"Content-Length: {len(self.BODY)}"]))
        self.thread = threading.Thread(target=self.drip, daemon=True)
        self.thread.start()

    BODY = b'{"model": "demo"}'

    def drip(self):
        """Until every body has been answered and every head was given up."""
        alive = list(self.heads)
        for byte in self.BODY:
            self.drip_heads(alive)
            for one in self.bodies:
                one.sendall(bytes([byte]))
            time.sleep(0.5)
        for one in self.bodies:
            one.settimeout(10)
            self.answers.append(one.recv(65536)[9:12])
        while alive and time.monotonic() - self.start < 30:
            self.drip_heads(alive)
            time.sleep(0.5)

    def drip_heads(self, alive):
        for one in list(alive):
            try:
                one.setblocking(True)
                one.sendall(b"X")
                one.setblocking(False)
                answer = one.recv(4096)
            except BlockingIOError:
                continue
            except ConnectionError:
                answer = b""
            self.closed_after.append((time.monotonic() - self.start, answer[9:12]))
            alive.remove(one)

    def end(self, check):
        self.thread.join()
        times = [seconds for seconds, _ in self.closed_after]
        check(len(times) == len(self.heads) and 8 <= min(times) and max(times) < 15, "slow heads are given up after 10 s, however they drip",
              f"{len(times)} of {len(self.heads)}, after {min(times, default=0):.1f} to {max(times, default=0):.1f} s")
        check(self.answers == [b"200"] * len(self.bodies), "slow bodies are taken, and answered", str(set(self.answers)))
        for one in self.heads + self.bodies:
            one.close()


def main():
    check = Report()
    random.seed(7)
    with LiveServer("--quiet") as server:
        server.ask("POST", "/api/create", {"model": "tools", "from": "demo", "template": TEMPLATE, "stream": False})
        server.ask("POST", "/api/show", {"model": "demo"})
        threads = server.process_status("Threads")
        drips = Drips(server)
        no_http(server, check)
        no_json(server, check)
        names(server, check)
        wrong_types(server, check)
        drips.end(check)
        check(server.ask("GET", "/healthz")[0] == 200, "the server is well")
        check(server.process_status("VmRSS") < 300 * 1024, "its memory is bounded", f"{server.process_status('VmRSS') / 1024:.0f} MiB")
        chat = {"model": "demo", "messages": [{"role": "user", "content": "Hello"}], "stream": False, "options": {"num_predict": 4}}
        check(server.ask("POST", "/api/chat", chat)[0] == 200, "it answers")
        check(server.process_status("Threads") >= threads, "its threads live")
        check("AddressSanitizer" not in server.said() and "internal error" not in server.said(), "nothing is in its log", server.said()[-300:])
    check.end()


main()
