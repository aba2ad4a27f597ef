"""LangChain's ChatOpenAI against a running server: langchain_openai_python.py BASE_URL [MODEL] [MODEL_WITH_TOOLS]."""
import sys

from cases import Cases, tool_model
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings
from pydantic import BaseModel

base, model, tools_model = tool_model(sys.argv)
cases = Cases()
HELLO = [SystemMessage("You tell stories."), HumanMessage("Tell me a story.")]


def chat(name=model, **options):
    return ChatOpenAI(base_url=base + "/v1", api_key="none", model=name, max_retries=0, **options)


@tool
def weather(celsius: bool) -> str:
    """The weather."""
    return "sun"


class Verdict(BaseModel):
    good: bool


@cases
def invoke_and_stream():
    model_ = chat(temperature=0, max_tokens=12)
    whole = model_.invoke(HELLO)
    assert whole.content and whole.usage_metadata["output_tokens"] == 12
    assert whole.response_metadata["finish_reason"] == "length"
    assert "".join(chunk.content for chunk in model_.stream(HELLO)) == whole.content
    assert [reply.content for reply in model_.batch([HELLO, HELLO])] == [whole.content] * 2


@cases
def structured_output():
    for method in ("json_schema", "function_calling"):
        structured = chat(tools_model, max_tokens=1200).with_structured_output(Verdict, method=method, strict=True)
        assert isinstance(structured.invoke(HELLO), Verdict), method


@cases
def tools():
    bound = chat(tools_model, max_tokens=1200).bind_tools(
        [weather], tool_choice="required", strict=True, parallel_tool_calls=False)
    reply = bound.invoke(HELLO)
    assert reply.tool_calls[0]["name"] == "weather" and isinstance(reply.tool_calls[0]["args"]["celsius"], bool)
    result = ToolMessage("sun", tool_call_id=reply.tool_calls[0]["id"])
    chat(tools_model, max_tokens=4).bind_tools([weather]).invoke([*HELLO, reply, result])


@cases
def responses_api():
    reply = chat(use_responses_api=True, temperature=0, max_tokens=16).invoke(HELLO)
    assert reply.text and reply.usage_metadata["output_tokens"] == 16


@cases
def completions_and_embeddings():
    text = OpenAI(base_url=base + "/v1", api_key="none", model=model, temperature=0, max_tokens=8).invoke("Once upon a")
    assert text
    embeddings = OpenAIEmbeddings(base_url=base + "/v1", api_key="none", model=model, check_embedding_ctx_length=False)
    assert len(embeddings.embed_documents(["a dog", "rain"])) == 2


sys.exit(cases.run())
