"""For schemathesis: most requests that name a model name one that is there, so that they come further than its 404; replies
are short, and end: one that may forget its oldest tokens goes on for ever if nothing else bounds it. What breaks the
description is left as it is: the request is meant to be refused for it."""
import re

import schemathesis

NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,79}"
SAVED = re.compile(NAME)
MODEL = re.compile(rf"{NAME}(:{NAME})?")


@schemathesis.hook
def map_body(context, body):
    model = body.get("model") if isinstance(body, dict) else None
    if isinstance(model, str) and MODEL.fullmatch(model) and len(model) % 4:
        body["model"] = "demo"
        if isinstance(body.get("lora"), str):
            del body["lora"]
        if isinstance(body.get("saved"), str) and SAVED.fullmatch(body["saved"]):
            del body["saved"]
    if isinstance(body, dict) and isinstance(body.get("options", {}), dict):
        body.setdefault("options", {}).setdefault("num_predict", 8)
    if isinstance(body, dict) and body.get("shift") is True:
        options = body.get("options")
        limit = options.get("num_predict") if isinstance(options, dict) else None
        body["shift"] = isinstance(limit, int) and 0 <= limit <= 64
    return body
