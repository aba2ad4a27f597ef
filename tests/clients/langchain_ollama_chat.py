"""LangChain's ChatOllama and OllamaEmbeddings against a running server: langchain_ollama_chat.py BASE_URL [MODEL]."""
import asyncio
import sys

from cases import Cases
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_ollama import ChatOllama, OllamaEmbeddings
from ollama import ResponseError
from pydantic import BaseModel, Field

URL, MODEL = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "demo"
cases = Cases()
chat = ChatOllama(model=MODEL, base_url=URL, temperature=0, num_predict=12)
TALK = [SystemMessage("Be brief."), HumanMessage("Once upon a time")]


def refused(kind, call, status=None, words=""):
    with cases.raises(kind) as caught:
        call()
    assert status is None or caught.value.status_code == status, caught.value
    assert words in str(caught.value), caught.value


@cases
def invoke_stream_and_batch_say_the_same():
    whole = chat.invoke(TALK)
    assert whole.content and whole.usage_metadata["output_tokens"] > 0
    assert "".join(part.content for part in chat.stream(TALK)) == whole.content
    assert [reply.content for reply in chat.batch([TALK] * 3)] == [whole.content] * 3
    assert asyncio.run(chat.ainvoke(TALK)).content == whole.content
    assert chat.invoke([*TALK, AIMessage(whole.content), HumanMessage("And then?")]).content


@cases
def structured_output():
    class Person(BaseModel):
        age: int = Field(ge=0, le=99)

    warm = ChatOllama(model=MODEL, base_url=URL, num_predict=200, seed=7)
    assert isinstance(warm.with_structured_output(Person, method="json_schema").invoke("Who?"), Person)


@cases
def embeddings():
    embeddings = OllamaEmbeddings(model=MODEL, base_url=URL)
    first, second = embeddings.embed_documents(["The cat sat.", "Rain fell."])
    assert embeddings.embed_query("The cat sat.") == first != second


@cases
def errors():
    refused(ResponseError, lambda: ChatOllama(model="nobody", base_url=URL).invoke("Hi"), 404, "not found")
    refused(ResponseError, lambda: chat.bind_tools([{"type": "function", "function": {"name": "f", "description": "f", "parameters": {"type": "object", "properties": {}}}}]).invoke("Hi"), 400, "tools")


sys.exit(cases.run())
