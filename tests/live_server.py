"""A `hotaru serve` of a test's own: on a free port, over a folder with the demo model, watched from outside. For scripts of tests/ and tools/."""
import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEMO = ROOT / "tests/data/hef/demo-v1.hef"
HOTARU = os.environ.get("HOTARU", str(ROOT / "build/release/hotaru"))


class LiveServer:
    """`models` is kept if it is given; else it is a temporary folder with the demo model as `demo`."""

    def __init__(self, *options, models=None, environment=None, limits=()):
        self.options, self.environment, self.limits = options, environment or {}, list(limits)
        self.is_own_folder = models is None
        self.models = pathlib.Path(models or tempfile.mkdtemp(prefix="hotaru_live_"))
        if self.is_own_folder:
            shutil.copy(DEMO, self.models / "demo.hef")
        self.process = None
        self.port = 0

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.end(signal.SIGKILL)
        if self.is_own_folder:
            shutil.rmtree(self.models, ignore_errors=True)

    def start(self):
        """Returns when it listens."""
        self.log = tempfile.TemporaryFile("w+", errors="replace")
        command = [*self.limits, HOTARU, "serve", "--port", "0", "--models", str(self.models), *self.options]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        env={**os.environ, **self.environment})
        deadline = time.monotonic() + 30
        while True:
            said = re.search(r"listening on http://[^ :]*:(\d+)", self.said())
            if said:
                self.port = int(said[1])
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"hotaru serve does not listen: {self.said()}")
            time.sleep(0.005)

    def said(self):
        self.log.flush()
        with open(f"/proc/self/fd/{self.log.fileno()}", errors="replace") as log:
            return log.read()

    def end(self, number):
        """By a signal; the exit code, as `subprocess` gives it."""
        if self.process is None:
            return None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        code = self.process.wait()
        self.process = None
        return code

    def ask(self, method, path, body=None, headers=None, timeout=60):
        """(status, body) of one request on a connection of its own; a dict is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            if isinstance(body, dict):
                body = json.dumps(body)
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def metric(self, name):
        """Of all labels together."""
        text = self.ask("GET", "/metrics")[1].decode()
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M))

    def process_status(self, field):
        """A number of /proc/PID/status: Threads, VmRSS (KiB)."""
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{field}:\s*(\d+)", text, re.M)[1])

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def soon(condition, seconds=10.0):
    """Whether it comes true within that time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class Report:
    """Prints "ok NAME" or "not ok NAME" for each case, as every script of tests/ does."""

    def __init__(self):
        self.failures = 0

    def __call__(self, is_good, name, detail=""):
        if not is_good:
            self.failures += 1
        print(f"{'' if is_good else 'not '}ok {name}" + (f": {detail}" if detail else ""), flush=True)

    def end(self):
        sys.exit(self.failures > 0)
