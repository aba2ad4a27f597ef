"""Ollama's own Python client against a running server with one model: ollama_python.py BASE_URL HEF (of the model "demo"). Every method that both
sides have."""
import asyncio
import json
import sys
import time

import ollama
from cases import Cases, tool_model

URL, HEF, MODEL = sys.argv[1], sys.argv[2], "demo"
client = ollama.Client(host=URL)
cases = Cases()
GREEDY = {"temperature": 0, "num_predict": 12}
HELLO = [{"role": "user", "content": "Once upon a time"}]
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def refused(kind, call, status=None, words=""):
    with cases.raises(kind) as caught:
        call()
    assert status is None or caught.value.status_code == status, caught.value
    assert words in str(caught.value), caught.value


@cases
def generate_in_one_piece():
    reply = client.generate(MODEL, "Once upon a time", options=GREEDY)
    assert reply.done and reply.done_reason in ("stop", "length") and reply.response
    assert 0 < reply.eval_count <= 12 and reply.prompt_eval_count > 0
    assert reply.total_duration >= reply.prompt_eval_duration > 0 and reply.eval_duration > 0
    assert reply.created_at.endswith("Z") and len(reply.context) == reply.prompt_eval_count + reply.eval_count


@cases
def generate_streamed_says_the_same():
    whole = client.generate(MODEL, "Once upon a time", options=GREEDY).response
    parts = list(client.generate(MODEL, "Once upon a time", options=GREEDY, stream=True))
    assert len(parts) > 2 and [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    assert "".join(part.response for part in parts) == whole


@cases
def generate_raw_system_template_context_stop_seed():
    raw = client.generate(MODEL, "Once upon a time", raw=True, options=GREEDY)
    assert raw.context is None and raw.prompt_eval_count < client.generate(MODEL, "Once upon a time", options=GREEDY).prompt_eval_count
    plain = client.generate(MODEL, "Hi", options=GREEDY)
    assert client.generate(MODEL, "Hi", system="Be brief.", options=GREEDY).prompt_eval_count > plain.prompt_eval_count
    template = "{{ messages[-1].content }}<|im_end|>\n<|im_start|>assistant\n"
    assert client.generate(MODEL, "Hi", template=template, options=GREEDY).prompt_eval_count < plain.prompt_eval_count
    after = client.generate(MODEL, "And then?", context=plain.context, options=GREEDY)
    assert list(after.context)[: len(plain.context)] == list(plain.context)
    stopped = client.generate(MODEL, "Once upon a time", options={**GREEDY, "num_predict": 60, "stop": [" "]})
    assert " " not in stopped.response and stopped.done_reason == "stop"
    warm = {"temperature": 1.0, "num_predict": 12}
    say = lambda seed: client.generate(MODEL, "Hi", options={**warm, "seed": seed}).response
    assert say(1) == say(1) and len({say(seed) for seed in range(5)}) > 1


@cases
def generate_load_and_unload():
    assert client.generate(MODEL).done_reason == "load"
    assert any(model.model == "demo:latest" for model in client.ps().models)
    assert client.generate(MODEL, keep_alive=0).done_reason == "unload"
    end = time.monotonic() + 10
    while client.ps().models and time.monotonic() < end:
        time.sleep(0.05)
    assert not client.ps().models


@cases
def chat_in_one_piece_and_streamed():
    whole = client.chat(MODEL, HELLO, options=GREEDY)
    assert whole.message.role == "assistant" and whole.message.content and whole.done
    parts = list(client.chat(MODEL, HELLO, options=GREEDY, stream=True))
    assert "".join(part.message.content for part in parts) == whole.message.content
    assert parts[-1].done and parts[-1].eval_count == whole.eval_count
    assert client.chat(MODEL, []).done_reason == "load"


@cases
def chat_a_conversation_goes_on():
    first = client.chat(MODEL, HELLO, options=GREEDY)
    second = client.chat(MODEL, [*HELLO, first.message, {"role": "user", "content": "And then?"}], options=GREEDY)
    assert second.prompt_eval_count > first.prompt_eval_count + first.eval_count


@cases
def chat_logprobs():
    reply = client.chat(MODEL, HELLO, options=GREEDY, logprobs=True, top_logprobs=3)
    assert len(reply.logprobs) == reply.eval_count - (reply.done_reason == "stop")
    for token in reply.logprobs:
        assert token.logprob <= 0 and len(token.top_logprobs) == 3
        assert token.top_logprobs[0].token == token.token  # greedy
    assert "".join(token.token for token in reply.logprobs) == reply.message.content


@cases
def chat_a_json_schema_is_kept():
    enough = {"num_predict": 1200}  # of its own will the model writes white space, up to 40 of it wherever JSON allows some
    for stream in (False, True):
        reply = client.chat(MODEL, HELLO, format=SCHEMA, options=enough, stream=stream)
        text = "".join(part.message.content for part in reply) if stream else reply.message.content
        value = json.loads(text)
        assert set(value) == {"name", "age"} and isinstance(value["age"], int), text


@cases
def chat_tools_of_a_model_that_has_none_are_refused():
    def weather(city: str) -> str:
        """The weather.

        Args:
          city: where
        """
        return city

    refused(ollama.ResponseError, lambda: client.chat(MODEL, HELLO, tools=[weather]), 400, "does not support tools")
    refused(ollama.ResponseError, lambda: client.chat(MODEL, HELLO, think=True), 400, "does not support thinking")


@cases
def chat_tools_of_a_model_that_knows_them():
    _, _, able = tool_model(["", URL, MODEL])
    tool = {"type": "function", "function": {"name": "weather", "description": "", "parameters": {"type": "object", "properties": {}}}}
    call = {"function": {"name": "weather", "arguments": {"city": "Rome"}}}
    talk = [*HELLO, {"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "tool", "tool_name": "weather", "content": "sunny"}]
    for stream in (False, True):
        reply = client.chat(able, talk, tools=[tool], options=GREEDY, stream=stream)
        last = list(reply)[-1] if stream else reply
        assert last.done and last.prompt_eval_count > client.chat(able, HELLO, options=GREEDY).prompt_eval_count
    client.delete(able)


@cases
def embed_and_embeddings():
    one = client.embed(MODEL, "The cat sat.")
    two = client.embed(MODEL, ["The cat sat.", "Rain fell."])
    assert len(one.embeddings) == 1 and len(two.embeddings) == 2
    assert list(one.embeddings[0]) == list(two.embeddings[0]) != list(two.embeddings[1])
    assert abs(sum(x * x for x in one.embeddings[0]) - 1) < 1e-4 and two.prompt_eval_count > one.prompt_eval_count
    short = client.embed(MODEL, "The cat sat.", dimensions=8).embeddings[0]
    assert len(short) == 8 and abs(sum(x * x for x in short) - 1) < 1e-4
    assert list(client.embeddings(MODEL, "The cat sat.").embedding) == list(one.embeddings[0])
    long = "cat " * 5000
    assert len(client.embed(MODEL, long).embeddings) == 1
    refused(ollama.ResponseError, lambda: client.embed(MODEL, long, truncate=False), 400, "context")


@cases
def models_list_show_copy_create_delete():
    names = lambda: {model.model for model in client.list().models}
    before = names()
    assert "demo:latest" in before
    assert client.show(MODEL).details is not None
    client.copy(MODEL, "twin")
    assert names() == before | {"twin:latest"}
    client.create("brief", from_=MODEL, system="Be brief.", parameters={"num_predict": 3})
    assert client.generate("brief", "Once upon a time").eval_count <= 3
    for name in ("twin", "brief"):
        assert client.delete(name).status == "success"
    assert names() == before


@cases
def models_a_blob_becomes_a_model():
    digest = client.create_blob(HEF)
    client.create("blobbed", files={"model.hef": digest})
    assert client.generate("blobbed", "Hi", options=GREEDY).response == client.generate(MODEL, "Hi", options=GREEDY).response
    client.delete("blobbed")


@cases
def errors_have_their_status_and_name_the_field():
    error = ollama.ResponseError
    for call in (
        lambda: client.generate("nobody", "Hi"),
        lambda: client.chat("nobody", HELLO),
        lambda: list(client.chat("nobody", HELLO, stream=True)),
        lambda: client.embed("nobody", "Hi"),
        lambda: client.show("nobody"),
        lambda: client.delete("nobody"),
        lambda: client.copy("nobody", "other"),
    ):
        refused(error, call, 404, "not found")
    refused(error, lambda: client.generate(MODEL, "Hi", options={"top_k": "many"}), 400, "options.top_k")
    refused(error, lambda: client.generate(MODEL, "Hi", suffix="there"), 400, "suffix")
    refused(error, lambda: client.generate(MODEL, "cat " * 9000), 400, "context")
    refused(error, lambda: client.chat(MODEL, HELLO, format={"type": "no such type"}), 400)
    refused(ConnectionError, lambda: ollama.Client(host="http://127.0.0.1:1").list())


@cases
def the_asynchronous_client_8_chats_at_once_say_what_one_says():
    alone = client.chat(MODEL, HELLO, options=GREEDY).message.content

    async def stream(asynchronous):
        text = ""
        async for part in await asynchronous.chat(MODEL, HELLO, options=GREEDY, stream=True):
            text += part.message.content
        return text

    async def together():
        asynchronous = ollama.AsyncClient(host=URL)
        whole = asynchronous.chat(MODEL, HELLO, options=GREEDY)
        texts = await asyncio.gather(*(stream(asynchronous) for _ in range(8)), whole)
        return [*texts[:-1], texts[-1].message.content]

    assert set(asyncio.run(together())) == {alone}


@cases
def a_client_that_leaves_in_the_middle_frees_its_place():
    next(client.generate(MODEL, "Once", options={"num_predict": -1}, stream=True))
    assert client.generate(MODEL, "Hi", options=GREEDY).done


sys.exit(cases.run())
