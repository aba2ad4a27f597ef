#!/usr/bin/env python3
"""`hotaru serve` under many clients at once: slow readers (one byte a second of a long streamed reply), idle connections, and chats.
What must hold: the number of threads does not change, memory stays within a bound, no chat starves, a client that leaves gives its place
back within one token. With --judge-speed also: the chats' tokens/s beside the others are at least 90 % of those alone (medians over
rounds that alternate). Slow readers are measured when the server has stopped computing for them: until their buffers are full they are
clients like others.

server_load.py [--seconds S] [--rounds N] [--slow N] [--idle N] [--chats N] [--judge-speed]"""
import argparse
import asyncio
import dataclasses
import json
import resource
import socket
import statistics
import time

from live_server import LiveServer, Report, soon

EOS = {"4095": -100, "4093": -100}  # the demo model's ends of a reply
# What a connection may cost, in KiB: its buffers; a slow reader's reply on top: 64 KiB unsent, as much on its way, 256 tokens unread.
IDLE_KIB, SLOW_KIB, SPARE_KIB = 48, 256, 24 * 1024


def http_request(path, body):
    text = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
    return head.encode() + text


class SlowReaders:
    """Sockets that ask for a reply as long as the context and read one byte a second each."""

    def __init__(self, port, count):
        body = {"model": "demo", "messages": [{"role": "user", "content": "Tell me a long story."}], "stream": True, "logit_bias": EOS,
                "logprobs": True, "top_logprobs": 10}
        self.sockets = []
        for i in range(count):
            one = socket.socket()
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.connect(("127.0.0.1", port))
            one.sendall(http_request("/v1/chat/completions", {**body, "seed": i}))
            one.setblocking(False)
            self.sockets.append(one)
        self.cut = 0
        self.bytes_read = [0] * count
        self.task = asyncio.create_task(self.read())

    async def read(self):
        while True:
            for i, one in enumerate(self.sockets):
                try:
                    self.bytes_read[i] += len(one.recv(1))
                except BlockingIOError:
                    pass
                except ConnectionError:
                    self.cut += 1
            await asyncio.sleep(1)

    def leave(self):
        self.task.cancel()
        for one in self.sockets:
            one.close()


class IdleConnections:
    """Half of them have asked once; one that the server closes (it may, after a minute) is opened again."""

    def __init__(self, port, count):
        self.tasks = [asyncio.create_task(self.idle(port, i % 2 == 0)) for i in range(count)]

    async def idle(self, port, asks):
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            if asks:
                writer.write(b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n")
            try:
                while await reader.read(4096):
                    pass
            finally:
                writer.close()

    def leave(self):
        for task in self.tasks:
            task.cancel()


class Chats:
    """Clients that chat by Ollama's and OpenAI's API in turn, one reply after the other, and count the tokens that come."""

    def __init__(self, port, count):
        self.tokens = [0] * count
        self.errors = []
        self.tasks = [asyncio.create_task(self.chat(port, i)) for i in range(count)]

    async def chat(self, port, index):
        messages = [{"role": "user", "content": "Tell me a story."}]
        if index % 2 == 0:
            path, token, end = "/api/chat", b'"done":false', b'"done":true'
            body = {"messages": messages, "options": {"num_predict": 64, "seed": index}}
        else:
            path, token, end = "/v1/chat/completions", b"data: {", b"data: [DONE]"
            body = {"messages": messages, "max_tokens": 64, "seed": index, "stream": True}
        request = http_request(path, {"model": "demo", **body})
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            while True:
                writer.write(request)
                status = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1]
                if status != b"200":
                    self.errors.append(f"{path}: {status.decode()}")
                    return
                while (size := int(await reader.readline(), 16)) > 0:
                    part = await reader.readexactly(size + 2)
                    self.tokens[index] += part.count(token)
                    if b'"error"' in part:
                        self.errors.append(f"{path}: {part.decode()}")
                await reader.readline()
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            self.errors.append(f"{path}: {error!r}")
        finally:
            writer.close()

    def leave(self):
        for task in self.tasks:
            task.cancel()


class Watch:
    """The server's threads and memory, while it goes on."""

    def __init__(self, server):
        self.threads, self.memory_kib = set(), 0
        self.task = asyncio.create_task(self.look(server))

    async def look(self, server):
        while True:
            self.threads.add(server.process_status("Threads"))
            self.memory_kib = max(self.memory_kib, server.process_status("VmRSS"))
            await asyncio.sleep(0.1)

    def leave(self):
        self.task.cancel()


async def settled(server, count, seconds=60):
    """The seconds until the server computes nothing more for these slow readers; None: it does not come to that."""
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        if server.metric("hotaru_paused_requests") == count:
            return time.monotonic() - start
        await asyncio.sleep(0.1)
    return None


@dataclasses.dataclass
class Got:
    rate: float  # tokens/s of all chats
    cpu: float  # the server's, of a token, in microseconds
    least: int  # tokens of the chat that got fewest
    errors: list


async def measure(server, count, seconds):
    """What all chats got over `seconds`."""
    chats = Chats(server.port, count)
    await asyncio.sleep(min(1.0, seconds / 4))
    before, start, cpu = list(chats.tokens), time.monotonic(), server.cpu_seconds()
    await asyncio.sleep(seconds)
    tokens = [after - b for after, b in zip(chats.tokens, before)]
    got = Got(sum(tokens) / (time.monotonic() - start), 1e6 * (server.cpu_seconds() - cpu) / max(1, sum(tokens)), min(tokens), chats.errors)
    chats.leave()
    await asyncio.gather(*chats.tasks, return_exceptions=True)
    return got


async def is_idle(server):
    return await asyncio.to_thread(soon, lambda: server.metric("hotaru_running_requests") == 0, 30)


async def crowd(server, options, check):
    alone, beside = [], []
    await measure(server, options.chats, 0.5)  # everything that is made once has been made
    await is_idle(server)
    threads, memory_kib = server.process_status("Threads"), server.process_status("VmRSS")
    watch = Watch(server)
    for _ in range(options.rounds):
        alone.append(await measure(server, options.chats, options.seconds))
        await is_idle(server)
        slow, idle = SlowReaders(server.port, options.slow), IdleConnections(server.port, options.idle)
        pause = await settled(server, options.slow)
        check(pause is not None, f"{options.slow} slow readers stop their own replies", f"after {pause or 60:.1f} s")
        beside.append(await measure(server, options.chats, options.seconds))
        await asyncio.sleep(1)  # each has had its turn to read
        served = sum(1 for count in slow.bytes_read if count > 0)
        check(served == options.slow and slow.cut == 0, "every slow reader is served", f"{served}, {slow.cut} of them cut")
        slow.leave()
        idle.leave()
        check(await is_idle(server), "nothing is computed for those who left")
    watch.leave()
    errors = [error for got in alone + beside for error in got.errors]
    least = min(got.least for got in beside)
    check(not errors, "every chat is answered", "; ".join(errors[:3]))
    check(least > 0, "no chat starves beside slow readers", f"the slowest one got {least} tokens in {options.seconds:g} s")
    check(watch.threads == {threads}, "the number of threads does not change", f"{sorted(watch.threads)}, before {threads}")
    bound = memory_kib + (options.idle + options.chats) * IDLE_KIB + options.slow * (IDLE_KIB + SLOW_KIB) + SPARE_KIB
    check(watch.memory_kib <= bound, "memory is bounded",
          f"{watch.memory_kib / 1024:.0f} MiB at most, before {memory_kib / 1024:.0f} MiB, bound {bound / 1024:.0f} MiB")
    a, b = (statistics.median(got.rate for got in some) for some in (alone, beside))
    cpu = [statistics.median(got.cpu for got in some) for some in (alone, beside)]
    text = (f"{options.chats} chats: {a:.0f} tokens/s alone, {b:.0f} beside {options.slow} slow readers and {options.idle} idle connections "
            f"({100 * b / a:.1f} %); the server's own time {cpu[0]:.0f} and {cpu[1]:.0f} us a token")
    if options.judge_speed:
        check(b >= 0.9 * a, "the chats are not slowed down", text)
    else:
        print("#", text)


async def leaving(check):
    """One place, taken by a client that leaves, wanted by one that waits. The slowest kernels: a token takes its time."""
    with LiveServer("--isa", "ref", "--threads", "1", "--parallel", "1") as server:
        body = {"model": "demo", "messages": [{"role": "user", "content": "Tell me a story."}], "options": {"seed": 3}}
        server.ask("POST", "/api/chat", {**body, "stream": False, "options": {"num_predict": 1}})
        worst, slowest, statuses = 0, 0.0, set()
        for i in range(5):
            before = server.metric("hotaru_generated_tokens_total")
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(http_request("/api/chat", body))
            read = 0
            waiting = None
            while read < 12:
                read += (await reader.read(65536)).count(b'"done":false')
                if waiting is None:
                    waiting = asyncio.create_task(asyncio.to_thread(
                        server.ask, "POST", "/api/chat", {**body, "stream": False, "options": {"num_predict": 1, "seed": i}}))
            writer.transport.abort()
            left = time.monotonic()
            status, answer = await waiting
            slowest = max(slowest, time.monotonic() - left - json.loads(answer)["prompt_eval_duration"] / 1e9)
            statuses.add(status)
            worst = max(worst, server.metric("hotaru_generated_tokens_total") - before - 1 - read)
        check(statuses == {200}, "who waited for the place has it")
        check(worst <= 2, "a client that leaves frees its place within one token",
              f"at most {worst:.0f} tokens behind what it had read; the next one began after {1000 * slowest:.1f} ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0)
    for name, value in [("rounds", 1), ("slow", 100), ("idle", 500), ("chats", 16)]:
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--judge-speed", action="store_true")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    check = Report()
    with LiveServer("--quiet") as server:
        asyncio.run(crowd(server, options, check))
    asyncio.run(leaving(check))
    check.end()


if __name__ == "__main__":
    main()
