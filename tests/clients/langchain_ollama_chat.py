"""LangChain's ChatOllama and OllamaEmbeddings against HOTARU_URL."""
import asyncio

from cases import MODEL, URL, case, finish, refused
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_ollama import ChatOllama, OllamaEmbeddings
from ollama import ResponseError
from pydantic import BaseModel, Field

chat = ChatOllama(model=MODEL, base_url=URL, temperature=0, num_predict=12)
TALK = [SystemMessage("Be brief."), HumanMessage("Once upon a time")]


@case("invoke, stream and batch say the same")
def _():
    whole = chat.invoke(TALK)
    assert whole.content and whole.usage_metadata["output_tokens"] > 0
    assert "".join(part.content for part in chat.stream(TALK)) == whole.content
    assert [reply.content for reply in chat.batch([TALK] * 3)] == [whole.content] * 3
    assert asyncio.run(chat.ainvoke(TALK)).content == whole.content
    assert chat.invoke([*TALK, AIMessage(whole.content), HumanMessage("And then?")]).content


@case("structured output")
def _():
    class Person(BaseModel):
        age: int = Field(ge=0, le=99)

    warm = ChatOllama(model=MODEL, base_url=URL, num_predict=100)
    assert isinstance(warm.with_structured_output(Person, method="json_schema").invoke("Who?"), Person)


@case("embeddings")
def _():
    embeddings = OllamaEmbeddings(model=MODEL, base_url=URL)
    first, second = embeddings.embed_documents(["The cat sat.", "Rain fell."])
    assert embeddings.embed_query("The cat sat.") == first != second


@case("errors")
def _():
    refused(ResponseError, lambda: ChatOllama(model="nobody", base_url=URL).invoke("Hi"), 404, "not found")
    refused(ResponseError, lambda: chat.bind_tools([{"type": "function", "function": {"name": "f", "description": "f", "parameters": {"type": "object", "properties": {}}}}]).invoke("Hi"), 400, "tools")


finish()
