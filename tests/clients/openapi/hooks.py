"""For schemathesis: most requests that name a model name one that is there, so that they come further than its 404; replies
are short, and end: one that may forget its oldest tokens goes on for ever if nothing else bounds it."""
import re

import schemathesis

MODEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,79}(:[A-Za-z0-9_][A-Za-z0-9._-]{0,79})?")


@schemathesis.hook
def map_body(context, body):
    model = body.get("model") if isinstance(body, dict) else None
    if isinstance(model, str) and MODEL.fullmatch(model) and len(model) % 4:
        body["model"] = "demo"
        for name in ("lora", "saved"):
            if isinstance(body.get(name), str):
                del body[name]
    if isinstance(body, dict) and isinstance(body.get("options", {}), dict):
        body.setdefault("options", {}).setdefault("num_predict", 8)
    if isinstance(body, dict) and body.get("shift") is True:
        options = body.get("options")
        limit = options.get("num_predict") if isinstance(options, dict) else None
        body["shift"] = isinstance(limit, int) and 0 <= limit <= 64
    return body
