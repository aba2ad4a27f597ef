"""Anthropic's own Python client against a running server: anthropic_python.py BASE_URL [MODEL] [MODEL_WITH_TOOLS]."""
import json
import sys

import anthropic
from cases import Cases, tool_model

base, model, tools_model = tool_model(sys.argv)
client = anthropic.Anthropic(base_url=base, api_key="none", max_retries=0)
cases = Cases()
GREEDY = {"temperature": 0}  # the client has no argument for it any more
HELLO = [{"role": "user", "content": "Tell me a story."}]
WEATHER = {
    "name": "weather",
    "description": "The weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"day": {"enum": ["today", "tomorrow"]}},
        "required": ["day"],
        "additionalProperties": False,
    },
}


@cases
def message_in_one_piece():
    reply = client.messages.create(model=model, max_tokens=12, messages=HELLO, system="You tell stories.", extra_body=GREEDY)
    assert reply.type == "message" and reply.role == "assistant" and reply.content[0].text
    assert reply.stop_reason == "max_tokens" and reply.usage.output_tokens == 12
    blocks = [{"type": "text", "text": "Tell me a story."}]
    again = client.messages.create(model=model, max_tokens=12, messages=[{"role": "user", "content": blocks}],
                                   system=[{"type": "text", "text": "You tell stories."}], extra_body=GREEDY)
    assert again.content[0].text == reply.content[0].text


@cases
def message_streamed_is_the_same():
    options = {"model": model, "max_tokens": 12, "messages": HELLO, "extra_body": GREEDY}
    whole = client.messages.create(**options)
    with client.messages.stream(**options) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == whole.content[0].text and final.content[0].text == text
    assert final.stop_reason == "max_tokens" and final.usage.output_tokens == 12
    events = [event.type for event in client.messages.create(**options, stream=True)]
    assert events[0] == "message_start" and events[-2:] == ["message_delta", "message_stop"]


@cases
def stops_and_prefilled_words():
    text = client.messages.create(model=model, max_tokens=24, messages=HELLO, extra_body=GREEDY).content[0].text
    word = text.split()[3]
    stopped = client.messages.create(model=model, max_tokens=24, messages=HELLO, extra_body=GREEDY, stop_sequences=[word])
    assert stopped.stop_reason == "stop_sequence" and stopped.stop_sequence == word
    assert stopped.content[0].text == text[: text.index(word)]
    begun = [*HELLO, {"role": "assistant", "content": text[: text.index(word)].rstrip()}]
    assert client.messages.create(model=model, max_tokens=8, messages=begun, extra_body=GREEDY).content[0].text


@cases
def tools():
    options = {"model": tools_model, "max_tokens": 1200, "messages": HELLO, "tools": [WEATHER]}
    any_tool = {"type": "any", "disable_parallel_tool_use": True}  # a model of stories would not stop calling
    for choice in (any_tool, {**any_tool, "type": "tool", "name": "weather"}):
        reply = client.messages.create(**options, tool_choice=choice)
        call = reply.content[-1]
        assert reply.stop_reason == "tool_use" and call.type == "tool_use" and call.name == "weather", reply
        assert call.input["day"] in ("today", "tomorrow")
    with client.messages.stream(**options, tool_choice=any_tool) as stream:
        assert stream.get_final_message().content[-1].input["day"] in ("today", "tomorrow")
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sun"}
    client.messages.create(model=tools_model, max_tokens=4, tools=[WEATHER], messages=[
        *HELLO, {"role": "assistant", "content": reply.content}, {"role": "user", "content": [result]}])


@cases
def counted_tokens():
    few = client.messages.count_tokens(model=model, messages=HELLO).input_tokens
    more = client.messages.count_tokens(model=model, messages=HELLO, system="You tell stories.").input_tokens
    used = client.messages.create(model=model, max_tokens=1, messages=HELLO).usage
    assert more > few > 0 and few == used.input_tokens + used.cache_read_input_tokens


@cases
def errors():
    with cases.raises(anthropic.NotFoundError) as caught:
        client.messages.create(model="no-such-model", max_tokens=4, messages=HELLO)
    assert caught.value.body["error"]["type"] == "not_found_error"
    with cases.raises(anthropic.BadRequestError) as caught:
        client.messages.create(model=model, max_tokens=4, messages=HELLO, extra_body={"temperature": 9})
    assert "temperature" in caught.value.body["error"]["message"]
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ""}}
    with cases.raises(anthropic.BadRequestError) as caught:
        client.messages.create(model=model, max_tokens=4, messages=[{"role": "user", "content": [image]}])
    assert "messages[0].content[0]" in json.dumps(caught.value.body)


sys.exit(cases.run())
