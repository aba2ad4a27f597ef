"""OpenAI's own Python client against a running server: openai_python.py BASE_URL [MODEL] [MODEL_WITH_TOOLS]."""
import json
import math
import sys

import openai
from cases import Cases, tool_model
from pydantic import BaseModel

base, model, tools_model = tool_model(sys.argv)
client = openai.OpenAI(base_url=base + "/v1", api_key="none", max_retries=0)
cases = Cases()
chat = client.chat.completions
HELLO = [{"role": "system", "content": "You tell stories."}, {"role": "user", "content": "Tell me a story."}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"celsius": {"type": "boolean"}, "day": {"enum": ["today", "tomorrow"]}},
            "required": ["celsius", "day"],
            "additionalProperties": False,
        },
    },
}


class Verdict(BaseModel):
    good: bool
    stars: int


@cases
def models():
    assert model + ":latest" in [entry.id for entry in client.models.list()]  # as Ollama lists them
    assert client.models.retrieve(model).object == "model"


@cases
def chat_in_one_piece():
    reply = chat.create(model=model, messages=HELLO, temperature=0, max_tokens=12)
    choice = reply.choices[0]
    assert reply.object == "chat.completion" and reply.id.startswith("chatcmpl-")
    assert choice.message.role == "assistant" and choice.message.content and choice.message.refusal is None
    assert choice.finish_reason == "length" and reply.usage.completion_tokens == 12
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + 12


@cases
def chat_streamed_is_the_same():
    options = {"model": model, "messages": HELLO, "seed": 7, "max_completion_tokens": 24}
    whole = chat.create(**options)
    chunks = list(chat.create(**options, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content, (text, whole)
    roles = [chunk.choices[0].delta.role for chunk in chunks if chunk.choices]
    assert roles[0] == "assistant" and not any(roles[1:])
    assert len({chunk.id for chunk in chunks}) == 1 and len({chunk.created for chunk in chunks}) == 1
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason


@cases
def chat_stream_helper():
    with chat.stream(model=model, messages=HELLO, temperature=0, stop=[","]) as stream:
        text = "".join(event.delta for event in stream if event.type == "content.delta")
    assert text and text == stream.get_final_completion().choices[0].message.content


@cases
def samples_stops_and_bias():
    reply = chat.create(model=model, messages=HELLO, n=3, seed=1, temperature=1, max_tokens=16)
    assert [choice.index for choice in reply.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in reply.choices}) > 1
    text = chat.create(model=model, messages=HELLO, temperature=0, max_tokens=24).choices[0].message.content
    word = text.split()[3]
    stopped = chat.create(model=model, messages=HELLO, temperature=0, max_tokens=24, stop=[word]).choices[0]
    assert stopped.finish_reason == "stop" and stopped.message.content == text[: text.index(word)]
    first = chat.create(model=model, messages=HELLO, temperature=0, max_tokens=1, extra_body={"top_k": 1, "min_p": 0.1})
    assert text.startswith(first.choices[0].message.content)


@cases
def logprobs():
    reply = chat.create(model=model, messages=HELLO, temperature=0, max_tokens=6, logprobs=True, top_logprobs=3)
    content = reply.choices[0].logprobs.content
    assert len(content) == 6 and all(len(token.top_logprobs) == 3 for token in content)
    assert all(token.logprob == token.top_logprobs[0].logprob for token in content)  # greedy
    assert bytes(sum((token.bytes for token in content), [])).decode() == reply.choices[0].message.content


@cases
def json_schema():
    reply = chat.parse(model=model, messages=HELLO, response_format=Verdict, max_tokens=1200, seed=3)
    assert isinstance(reply.choices[0].message.parsed, Verdict)
    reply = chat.create(model=model, messages=HELLO, response_format={"type": "json_object"}, max_tokens=300, seed=3)
    if reply.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(reply.choices[0].message.content), dict)


@cases
def tools():
    named = {"type": "function", "function": {"name": "weather"}}
    for choice in ("required", named):
        reply = chat.create(model=tools_model, messages=HELLO, tools=[WEATHER], tool_choice=choice, max_tokens=1200,
                            parallel_tool_calls=False)
        assert reply.choices[0].finish_reason == "tool_calls", reply
        call = reply.choices[0].message.tool_calls[0]
        arguments = json.loads(call.function.arguments)
        assert call.function.name == "weather" and arguments["day"] in ("today", "tomorrow")
    answer = {"role": "tool", "tool_call_id": call.id, "content": "sun"}
    chat.create(model=tools_model, messages=[*HELLO, reply.choices[0].message, answer], tools=[WEATHER], max_tokens=4)
    with chat.stream(model=tools_model, messages=HELLO, tools=[WEATHER], tool_choice="required", max_tokens=1200,
                     parallel_tool_calls=False) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.tool_calls[0].function.name == "weather"
    none = chat.create(model=tools_model, messages=HELLO, tools=[WEATHER], tool_choice="none", max_tokens=4)
    assert none.choices[0].message.tool_calls is None


@cases
def completions():
    one = client.completions.create(model=model, prompt="Once upon a", temperature=0, max_tokens=8)
    assert one.choices[0].text and one.usage.completion_tokens == 8
    two = client.completions.create(model=model, prompt=["Once upon a", "The dog"], temperature=0, max_tokens=8)
    assert [choice.index for choice in two.choices] == [0, 1] and two.choices[0].text == one.choices[0].text
    streamed = client.completions.create(model=model, prompt="Once upon a", temperature=0, max_tokens=8, stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == one.choices[0].text
    echoed = client.completions.create(model=model, prompt="Once upon a", temperature=0, max_tokens=8, echo=True)
    assert echoed.choices[0].text == "Once upon a" + one.choices[0].text
    best = client.completions.create(model=model, prompt="Once", best_of=3, n=2, seed=1, max_tokens=8)
    assert len(best.choices) == 2


@cases
def scores_of_a_prompt():
    options = {"model": model, "prompt": "Once upon a time", "temperature": 0, "logprobs": 2, "echo": True}
    alone = client.completions.create(**options, max_tokens=0).choices[0]
    assert alone.text == "Once upon a time" and alone.logprobs.token_logprobs[0] is None
    assert "".join(alone.logprobs.tokens) == alone.text
    assert all(value < 0 for value in alone.logprobs.token_logprobs[1:])
    more = client.completions.create(**options, max_tokens=2).choices[0]
    count = len(alone.logprobs.tokens)
    assert more.logprobs.token_logprobs[:count] == alone.logprobs.token_logprobs
    assert len(more.logprobs.tokens) == count + 2 and more.text == "".join(more.logprobs.tokens)
    assert more.logprobs.text_offset[count] == len("Once upon a time")


@cases
def embeddings():
    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b)) / math.hypot(*a) / math.hypot(*b)

    reply = client.embeddings.create(model=model, input=["a dog", "a dog", "rain"])
    first, again, other = (entry.embedding for entry in reply.data)
    assert first == again and cosine(first, other) < 0.9999 and reply.usage.prompt_tokens > 0
    floats = client.embeddings.create(model=model, input="a dog", encoding_format="float").data[0].embedding
    assert cosine(floats, first) > 0.999999
    assert len(client.embeddings.create(model=model, input="a dog", dimensions=8).data[0].embedding) == 8


@cases
def responses():
    whole = client.responses.create(model=model, instructions="Tell stories.", input="A dog.", temperature=0,
                                    max_output_tokens=16)
    assert whole.output_text and whole.status == "incomplete" and whole.usage.output_tokens == 16
    events = list(client.responses.create(model=model, instructions="Tell stories.", input="A dog.", temperature=0,
                                          max_output_tokens=16, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == whole.output_text and events[-1].type == "response.incomplete"
    with client.responses.stream(model=model, input="A dog.", text_format=Verdict, max_output_tokens=1200) as stream:
        final = stream.get_final_response()
    assert final.status == "completed" and isinstance(final.output_parsed, Verdict)
    parsed = client.responses.parse(model=model, input="A dog.", text_format=Verdict, max_output_tokens=1200)
    assert isinstance(parsed.output_parsed, Verdict)
    tool = {"type": "function", "strict": True, **WEATHER["function"]}
    called = client.responses.create(model=tools_model, input="A dog.", tools=[tool], tool_choice="required",
                                     parallel_tool_calls=False)
    assert called.output[-1].type == "function_call" and called.output[-1].name == "weather"
    client.responses.create(model=tools_model, tools=[tool], max_output_tokens=4, input=[
        {"role": "user", "content": "A dog."}, called.output[-1].model_dump(exclude_none=True),
        {"type": "function_call_output", "call_id": called.output[-1].call_id, "output": "sun"}])


@cases
def errors():
    with cases.raises(openai.NotFoundError) as caught:
        chat.create(model="no-such-model", messages=HELLO)
    assert caught.value.code == "model_not_found" and "no-such-model" in caught.value.message
    with cases.raises(openai.BadRequestError) as caught:
        chat.create(model=model, messages=HELLO, temperature=9)
    assert caught.value.param == "temperature" and caught.value.type == "invalid_request_error"
    with cases.raises(openai.BadRequestError) as caught:
        chat.create(model=model, messages=[{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}]}])
    assert caught.value.param == "messages[0].content[0].type"
    with cases.raises(openai.BadRequestError):
        client.completions.create(model=model, prompt="x", suffix="y")
    with cases.raises(openai.NotFoundError):
        list(chat.create(model="no-such-model", messages=HELLO, stream=True))


sys.exit(cases.run())
