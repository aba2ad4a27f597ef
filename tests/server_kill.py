#!/usr/bin/env python3
"""The model store through the live REST API: pulls, with all that can go wrong with them; `kill -9` of the running server in the middle of
pulls, uploads, creates, copies and deletes, in ROUNDS (default 20) rounds; a full disk. Whatever happens, what was acknowledged is there,
every model that is listed opens and answers, and nothing half-made is left at the next start.

A store has two HEFs of different content: the demo model, and one with an adapter that is made here."""
import contextlib
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from live_server import DEMO, HOTARU, ROOT, LiveServer, Report, soon

ROUNDS = int(os.environ.get("ROUNDS", "20"))
SEED = int(os.environ.get("SEED", str(random.randrange(1 << 32))))
GONE = (OSError, ConnectionError, ValueError)  # the server was killed under the request
SMALL = ["--recipe", "rtn", "--samples", "1", "--sequence", "32", "--quiet"]


def sha256(path):
    return "sha256:" + hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def make_adapter_hef(folder):
    """A HEF with the adapter `holmes`."""
    har, hef = folder / "a.har", folder / "a.hef"
    for command in (["optimize", ROOT / "models/demo", "-o", har, *SMALL], ["lora", "add", har, ROOT / "tests/data/lora/holmes", "--quiet"],
                    ["compile", har, "-o", hef, "--quiet"]):
        subprocess.run([HOTARU, *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return hef


class Registry:
    """tests/registry.py over a folder."""

    def __init__(self, folder, names):
        folder.mkdir()
        for name in names:
            os.link(folder.parent / "demo.hef", folder / f"{name}.hef")
        self.folder = folder
        self.process = subprocess.Popen([sys.executable, ROOT / "tests/registry.py", folder], stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{self.process.stdout.readline().strip()}"

    def requests(self):
        file = self.folder / "requests"
        return file.read_text().splitlines() if file.exists() else []

    def end(self):
        self.process.kill()
        self.process.wait()


def lines_of(answer):
    return [json.loads(line) for line in answer.splitlines()]


def fails_with(answer, *parts):
    """Whether a pull's answer, a status of its own or the last line of a stream, is an error that says all this."""
    status, body = answer
    error = lines_of(body)[-1].get("error", "")
    return (status >= 400 or len(lines_of(body)) > 1) and all(part in error for part in parts)


def pull(server, name, **more):
    return server.ask("POST", "/api/pull", {"model": name, **more})


def pulls(work, check):
    registry = Registry(work / "registry", ["good", "slow", "wrong", "cut", "norange", "gguf"])
    models = work / "pull_models"
    models.mkdir()
    shutil.copy(DEMO, models / "demo.hef")
    try:
        with LiveServer("--quiet", models=models, environment={"HOTARU_REGISTRY": registry.url}) as server:
            status, body = pull(server, "good")
            lines = lines_of(body)
            progress = [line for line in lines if line.get("total")]
            check(status == 200 and [line["status"] for line in lines][-1] == "success", "pull: streams to success")
            check(lines[0] == {"status": "pulling manifest"} and progress[-1]["completed"] == progress[-1]["total"] == DEMO.stat().st_size
                  and progress[0]["digest"] == sha256(DEMO), "pull: says the digest, the total and what has come")
            check((models / "good.hef").read_bytes() == DEMO.read_bytes(), "pull: the bytes")
            check(pull(server, "good", stream=False) == (200, b'{"status":"success"}'), "pull: again, without a stream")
            check(fails_with(pull(server, "nowhere"), "model 'nowhere' not found"), "pull: no such model")
            check(fails_with(pull(server, "good:v9"), "model 'good:v9' not found"), "pull: no such tag")
            check(fails_with(pull(server, "gguf"), "no layer is a HEF"), "pull: another format")
            check(server.ask("POST", "/api/pull", {"model": "../good"})[0] == 400, "pull: a path is no name")
            server.ask("DELETE", "/api/delete", {"model": "good"})
            check(fails_with(pull(server, "wrong"), "digest mismatch"), "pull: a wrong digest is refused")
            check(not list(models.glob("wrong*")) and not list(models.glob("blobs/*.partial")), "pull: a wrong digest leaves nothing")
            check(lines_of(pull(server, "cut")[1])[-1] == {"status": "success"}, "pull: a connection that is cut again and again")
            check(any("/cut/blobs/" in line and " bytes=1048576-" in line for line in registry.requests()), "pull: goes on where it was cut")
            server.ask("DELETE", "/api/delete", {"model": "cut"})
            with contextlib.suppress(TimeoutError):  # the client leaves
                server.ask("POST", "/api/pull", {"model": "slow", "stream": False}, timeout=0.5)
            time.sleep(0.2)
            partial = list(models.glob("blobs/*.partial"))
            check(len(partial) == 1 and 0 < partial[0].stat().st_size < DEMO.stat().st_size, "pull: what came before the client left is kept")
            check(lines_of(pull(server, "good")[1])[-1] == {"status": "success"}, "pull: the next one goes on")
            check(any("/good/blobs/" in line and not line.endswith((" -", " bytes=0-")) for line in registry.requests()),
                  "pull: from where the last one ended")
            check((models / "good.hef").read_bytes() == DEMO.read_bytes(), "pull: the bytes of both")
            registry.end()
            check(fails_with(pull(server, "other"), registry.url.removeprefix("http://")), "pull: a registry that is down is named")
    finally:
        registry.end()


class Store:
    """The models that were acknowledged, by name: what each may be. `unsure`: a change was on its way when the server died."""

    def __init__(self):
        self.lock = threading.Lock()
        self.there, self.unsure = {}, {}

    def begin(self, name, after):
        with self.lock:
            self.unsure[name] = [self.there.get(name), after]

    def acknowledge(self, name):
        with self.lock:
            self.there[name] = self.unsure.pop(name)[1]

    def allowed(self, name):
        return self.unsure.get(name, [self.there.get(name)])


class Killed:
    """One server after the other over the same folder; clients that change it until each is killed."""

    def __init__(self, work, registry, check):
        self.models = pathlib.Path(tempfile.mkdtemp(prefix="models_", dir=work))
        shutil.copy(DEMO, self.models / "demo.hef")
        self.adapter_hef = work / "a.hef"
        self.digests = {"demo": sha256(DEMO), "adapters": sha256(self.adapter_hef)}
        self.registry, self.check, self.store, self.requests = registry, check, Store(), 0
        self.random = random.Random(SEED)
        self.store.there["demo:latest"] = ("demo", "")

    def change(self, server, name, after, method, path, body):
        """One acknowledged change of a model; after: (content, system message) or None for deleted."""
        self.store.begin(name, after)
        status, answer = server.ask(method, path, body)
        if status != 200 or b'"error"' in answer:
            raise AssertionError(f"{path}: {status} {answer.decode()}")
        self.store.acknowledge(name)
        self.requests += 1

    def delete(self, server, name):
        if self.store.there.get(name) is not None:
            self.change(server, name, None, "DELETE", "/api/delete", {"model": name})

    def copies(self, server):
        for i in range(10**6):
            name = f"copies/c{i % 3}:latest"
            self.change(server, name, ("demo", ""), "POST", "/api/copy", {"source": "demo", "destination": name})
            self.delete(server, f"copies/c{(i + 1) % 3}:latest")

    def creates(self, server):
        for i in range(10**6):
            name, system = f"made{i % 2}:latest", f"You are number {i}."
            self.change(server, name, ("demo", system), "POST", "/api/create", {"model": name, "from": "demo", "system": system, "stream": False})
            if i % 5 == 4:
                self.delete(server, name)

    def uploads(self, server):
        """A blob in pieces, a model of it, a model of its adapter; and all of it goes again."""
        data = self.adapter_hef.read_bytes()
        digest = self.digests["adapters"]

        def pieces():
            for begin in range(0, len(data), 1 << 18):
                yield data[begin:begin + (1 << 18)]
                time.sleep(0.001)
        while True:
            status, answer = server.ask("POST", f"/api/blobs/{digest}", pieces())
            if status not in (200, 201):
                raise AssertionError(f"blob: {status} {answer.decode()}")
            self.change(server, "up:latest", ("adapters", ""), "POST", "/api/create", {"model": "up", "files": {"a.hef": digest}, "stream": False})
            self.change(server, "tuned:latest", ("adapters", "Deduce."), "POST", "/api/create",
                        {"model": "tuned", "from": "up:holmes", "system": "Deduce.", "stream": False})
            self.delete(server, "up:latest")
            self.delete(server, "tuned:latest")

    def pulls(self, server):
        for i in range(10**6):
            name = ("good", "slow")[i % 2] + ":latest"
            self.change(server, name, ("demo", ""), "POST", "/api/pull", {"model": name, "stream": False})
            self.delete(server, name)  # and the blob with its last name

    def play(self, server, work):
        try:
            work(self, server)
        except GONE:
            pass
        except AssertionError as error:
            self.check(False, "a change is done", str(error))

    def round(self, works):
        with LiveServer("--quiet", models=self.models, environment={"HOTARU_REGISTRY": self.registry.url}) as server:
            threads = [threading.Thread(target=self.play, args=(server, work)) for work in works]
            for thread in threads:
                thread.start()
            time.sleep(self.random.uniform(0.0, 0.4))
            server.process.kill()
            for thread in threads:
                thread.join()
        return self.look()

    def look(self):
        """What is wrong with the store after a restart; the next round begins with what is there."""
        wrong = []
        with LiveServer("--quiet", models=self.models) as server:
            wrong += [f"{path.name} is left" for path in self.models.rglob("*.tmp")]
            listed = {model["name"]: model for model in json.loads(server.ask("GET", "/api/tags")[1])["models"]}
            listed = {name: model for name, model in listed.items() if not name.endswith(":holmes")}  # the adapter of another one
            for name in {*listed, *self.store.there, *self.store.unsure}:
                found = None
                if name in listed:
                    found = self.open(server, name, listed[name], wrong)
                if found not in self.store.allowed(name):
                    wrong.append(f"{name} is {found}, want {' or '.join(map(str, self.store.allowed(name)))}")
                self.store.there[name] = found
            self.store.unsure.clear()
        return wrong

    def open(self, server, name, model, wrong):
        status, shown = server.ask("POST", "/api/show", {"model": name})
        system = json.loads(shown).get("system", "") if status == 200 else ""
        status, answer = server.ask("POST", "/api/generate", {"model": name, "prompt": "Once", "stream": False, "options": {"num_predict": 2}})
        if status != 200 or json.loads(answer)["eval_count"] < 1:
            wrong.append(f"{name} does not answer: {status} {answer.decode()}")
        contents = [content for content, digest in self.digests.items() if digest == "sha256:" + model["digest"].removeprefix("sha256:")]
        return (contents[0] if contents else model["digest"], system)


def kills(work, check):
    registry = Registry(work / "kill_registry", ["good", "slow"])
    groups = [("copy and delete", [Killed.copies]), ("create from a model", [Killed.creates]),
              ("upload, create from a blob, from an adapter", [Killed.uploads]), ("pull", [Killed.pulls]),
              ("everything at once", [Killed.copies, Killed.creates, Killed.uploads, Killed.pulls])]
    try:
        for i, (name, works) in enumerate(groups):
            killed, wrong, rounds = Killed(work, registry, check), [], ROUNDS // 5 + (i < ROUNDS % 5)
            for _ in range(rounds):
                wrong += killed.round(works)
            check(not wrong, f"killed during {name}: the store is whole",
                  f"SEED={SEED}: " + "; ".join(wrong[:3]) if wrong else f"{rounds} kills after {killed.requests} changes")
    finally:
        registry.end()


@contextlib.contextmanager
def small_disk(folder, mebibytes):
    """Whether `folder` is a file system of that size now (for root), or else stays as it is."""
    folder.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", folder],
                                                   capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", folder], check=True)


def full_disk(work, check):
    """A disk with room for one model and a half; without the right to mount one, a limit of the size of files."""
    registry = Registry(work / "full_registry", ["good"])
    try:
        with small_disk(work / "full_models", 7) as is_disk:
            models = work / "full_models"
            shutil.copy(DEMO, models / "demo.hef")
            limits = () if is_disk else ("bash", "-c", 'ulimit -f 2048; exec "$@"', "limited")
            print(f"# a full disk is {'a tmpfs of 7 MiB' if is_disk else 'a limit of 2 MiB a file: no tmpfs could be mounted'}")
            with LiveServer("--quiet", models=models, environment={"HOTARU_REGISTRY": registry.url}, limits=limits) as server:
                status, body = server.ask("POST", f"/api/blobs/{sha256(work / 'a.hef')}", (work / "a.hef").read_bytes())
                check(status in (507, 500) and b"error" in body, "full disk: an upload is refused", f"{status} {body.decode()}")
                check(soon(lambda: not list(models.glob("blobs/*.tmp"))), "full disk: the upload leaves nothing")
                check(fails_with(pull(server, "good"), "cannot write"), "full disk: a pull says so")
                status, body = pull(server, "good", stream=False)
                check(status in (507, 500) and b"cannot write" in body, "full disk: a pull without a stream", f"{status} {body.decode()}")
                if is_disk:
                    with contextlib.suppress(OSError), open(models / "filler", "wb", buffering=0) as filler:
                        while filler.write(bytes(4096)):
                            pass
                    # Not a byte is free: the new description of a model has no place.
                    made = {"model": "made", "from": "demo", "system": "x" * 9000, "stream": False}
                    status, body = server.ask("POST", "/api/create", made)
                    check(status in (507, 500) and b"error" in body, "full disk: a create is refused", f"{status} {body.decode()}")
                check([model["name"] for model in json.loads(server.ask("GET", "/api/tags")[1])["models"]] == ["demo:latest"],
                      "full disk: the list has what there was")
                ask = {"model": "demo", "prompt": "Once", "stream": False, "options": {"num_predict": 2}}
                check(server.ask("POST", "/api/generate", ask)[0] == 200, "full disk: the model answers")
                if is_disk:
                    (models / "filler").unlink()
                    for partial in models.glob("blobs/*.partial"):
                        partial.unlink()
                    check(server.ask("POST", "/api/create", made)[0] == 200, "full disk: with room again, the create goes well")
    finally:
        registry.end()


def main():
    check = Report()
    work = pathlib.Path(tempfile.mkdtemp(prefix="hotaru_kill_"))
    try:
        shutil.copy(DEMO, work / "demo.hef")
        make_adapter_hef(work)
        pulls(work, check)
        kills(work, check)
        full_disk(work, check)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    check.end()


main()
