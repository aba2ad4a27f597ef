"""What the Python clients' tests share: cases that are run in order and print "ok NAME" or "not ok NAME"."""
import contextlib
import json
import traceback
import urllib.request

# The demo model's own template knows no tools; this one does, as Qwen's does.
TEMPLATE = """{%- if tools %}<|im_start|>system
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call><|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}
{%- for call in message.tool_calls or [] %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def tool_model(arguments):
    """Base URL, model and a model with tools, of argv; the last is made from the model when it is not given."""
    base = arguments[1].rstrip("/")
    model = arguments[2] if len(arguments) > 2 else "demo"
    if len(arguments) > 3:
        return base, model, arguments[3]
    body = json.dumps({"model": model + "-tools", "from": model, "template": TEMPLATE, "stream": False})
    request = urllib.request.Request(base + "/api/create", body.encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request).read()
    return base, model, model + "-tools"


class Caught:
    value = None


class Cases:
    def __init__(self):
        self.all = []

    def __call__(self, case):
        self.all.append(case)
        return case

    @staticmethod
    @contextlib.contextmanager
    def raises(kind):
        caught = Caught()
        try:
            yield caught
        except kind as error:
            caught.value = error
        else:
            raise AssertionError(f"nothing was raised, want {kind.__name__}")

    def run(self):
        failures = 0
        for case in self.all:
            try:
                case()
                print(f"ok {case.__name__}", flush=True)
            except Exception:
                failures += 1
                print(f"not ok {case.__name__}", flush=True)
                print("".join(f"# {line}\n" for line in traceback.format_exc().splitlines()), end="", flush=True)
        return failures > 0
