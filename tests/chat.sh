#!/usr/bin/env bash
# `hotaru run FILE.hef` as somebody at a terminal sees it: a pseudo-terminal types, and reads what is drawn.
set -euo pipefail
cd "$(dirname "$0")/.."
exec python3 - "$(realpath "${HOTARU:-build/release/hotaru}")" tests/data/hef/demo-v1.hef <<'PY'
import os, pty, re, select, signal, sys, tempfile, time

hotaru, hef = sys.argv[1:]
home = tempfile.mkdtemp()
failures = 0


class Chat:
    def __init__(self, *options):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(HOME=home, TERM="xterm", NO_COLOR="1", COLUMNS="200")
            os.execv(hotaru, [hotaru, "run", hef, "--seed", "7", *options])
        self.seen = ""

    def type(self, text):
        os.write(self.fd, text.encode())

    # What is drawn until the pattern shows; "" after 60 seconds.
    def until(self, pattern, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := re.search(pattern, self.seen):
                shown, self.seen = self.seen[:found.end()], self.seen[found.end():]
                return shown
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    data = os.read(self.fd, 65536)
                except OSError:
                    data = b""
                if not data:
                    return ""
                self.seen += data.decode(errors="replace")
        return ""

    def exit_code(self):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    os.read(self.fd, 65536)
                except OSError:
                    pass
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        return None


def report(good, name, shown=""):
    global failures
    failures += not good
    print(("ok " if good else "not ok ") + name, flush=True)
    if not good:
        print(f"# {shown!r}")


PROMPT = r">>> (?=\S*$|$)"
chat = Chat("-n", "12")
report(chat.until(PROMPT), "a prompt", chat.seen)
chat.type("/help\n")
report("/bye" in chat.until(r"Ctrl-C[^\n]*\n(?s:.*?)>>> "), "/help lists the commands", chat.seen)
chat.type("/set parameter temperature 0\n")
chat.until(">>> ")
chat.type("/set parameter warmth 3\n")
report(chat.until("(?s)warmth.*?want.*?>>> ") or chat.until("(?s)no parameter.*?>>> ", 1), "an unknown parameter is refused", chat.seen)
chat.type("/show\n")
report("temperature" in chat.until(r"(?s)temperature.*?>>> "), "/show tells the parameters", chat.seen)
chat.type("Tell me a story.\n")
first = chat.until(r"(?s)story\.\r?\n.*?\n>>> ")
report(len(first) > 40, "a message is answered", first)
chat.type("/show\n")
report(re.search(r"context +[1-9]", chat.until("(?s)context.*?>>> ")), "the conversation is in the context", chat.seen)
chat.type("/clear\n")
report(chat.until("anew(?s:.*?)>>> "), "/clear", chat.seen)
chat.type("Tell me a story.\n")
again = chat.until(r"(?s)story\.\r?\n.*?\n>>> ")
# Behind the line that was typed: one that comes before the editor reads is drawn twice, by the terminal and by the editor.
reply_in = lambda shown: shown.rpartition("Tell me a story.")[2].strip()
report(reply_in(again) and reply_in(again) == reply_in(first), "after /clear the same greedy reply", first + again)
chat.type('"""one\n')
report(chat.until(r"\.\.\. "), "three quotes ask for more lines", chat.seen)
chat.type('two"""\n')
report(chat.until(r"(?s)two.*?\n.*?>>> "), "a message of two lines is answered", chat.seen)
chat.type("half a line\x03")
report(chat.until(r"\^C\r?\n(?s:.*?)leaves(?s:.*?)>>> "), "Ctrl-C drops the line and says how to leave", chat.seen)
chat.type("/nothing\n")
report(chat.until("(?s)no command '/nothing'.*?>>> "), "an unknown command is refused", chat.seen)
chat.type("/bye\n")
report(chat.exit_code() == 0, "/bye leaves with 0")

chat = Chat()
chat.until(PROMPT)
chat.type("\x1b[A")
report(chat.until("/bye"), "the arrow brings back the last session's last line", chat.seen)
chat.type("\x15Tell me a very long story.\n")
chat.until(r"story\.\r?\n.")
chat.type("\x03")
report(chat.until(">>> ", 10), "Ctrl-C stops a reply and the chat goes on", chat.seen)
chat.type("\x04")
report(chat.exit_code() == 0, "Ctrl-D leaves with 0")
sys.exit(failures > 0)
PY
