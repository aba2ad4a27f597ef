#!/usr/bin/env python3
"""A registry for tests, of Ollama's protocol: registry.py FOLDER prints its port and serves until it is killed.

FOLDER/NAME.hef is library/NAME, tag latest. Names say how it misbehaves: `slow...` sends 64 KiB every 50 ms, `wrong...`
says another digest than the bytes have, `cut...` closes every connection after 1 MiB, `norange...` ignores ranges,
`gguf...` has a layer of another type. Each request is a line in FOLDER/requests: METHOD PATH RANGE.
"""
import hashlib
import http.server
import json
import pathlib
import sys
import time

FOLDER = pathlib.Path(sys.argv[1])


class Registry(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, content_type="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        with open(FOLDER / "requests", "a") as log:
            print("GET", self.path, self.headers.get("Range", "-"), file=log)
        parts = self.path.split("/")
        if len(parts) != 6 or parts[1:3] != ["v2", "library"]:
            return self.answer(404, b"{}")
        name, kind, last = parts[3:]
        file = FOLDER / (name + ".hef")
        if not file.exists() or (kind == "manifests" and last != "latest"):
            return self.answer(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')
        content = file.read_bytes()
        if kind == "manifests":
            said = content[::-1] if name.startswith("wrong") else content
            media = "application/vnd.ollama.image.model" if name.startswith("gguf") else "application/vnd.hotaru.hef"
            layer = {"mediaType": media, "digest": "sha256:" + hashlib.sha256(said).hexdigest(), "size": len(content)}
            return self.answer(200, json.dumps({"schemaVersion": 2, "layers": [layer]}).encode())
        self.send_blob(name, content)

    def send_blob(self, name, content):
        start = 0
        if (wanted := self.headers.get("Range")) and not name.startswith("norange"):
            start = int(wanted.removeprefix("bytes=").split("-")[0])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        for begin in range(start, len(content), 65536):
            if name.startswith("cut") and begin - start >= 1 << 20:
                self.close_connection = True
                return
            self.wfile.write(content[begin:begin + 65536])
            if name.startswith("slow"):
                time.sleep(0.05)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, address):
        if not isinstance(sys.exc_info()[1], ConnectionError):  # clients that leave
            super().handle_error(request, address)


server = Server(("127.0.0.1", 0), Registry)
print(server.server_address[1], flush=True)
server.serve_forever()
