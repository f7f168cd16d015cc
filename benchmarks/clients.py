"""The synchronous clients: an answer is an iterator.

A client is a function that takes the upstream's address and gives a function from a model (see
``upstream.py``) to an iterator over the texts of its answer, ours over its events.  What a client
is made of is imported when it is asked for: most of them need not be installed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Ask = Callable[[str], Iterator[Any]]

MOST_STREAMS = 300  # idle connections that are kept; a pool with room for more is made more slowly


def ours(address: str, **options: Any) -> Ask:
    """Ours, as it comes."""
    import inferd_engine

    backend = inferd_engine.OpenAiCompat(
        base_url=address, api_key="", max_connections=MOST_STREAMS, **options
    )
    return lambda model: backend.with_options(model=model).stream("x")


def messages(address: str) -> Ask:
    """Ours, asking for Anthropic's Messages."""
    import inferd_engine

    backend = inferd_engine.Anthropic(address, api_key="", max_connections=MOST_STREAMS)
    return lambda model: backend.with_options(model=model).stream("x")


def anthropic(address: str) -> Ask:
    """anthropic, Anthropic's own client."""
    from anthropic import Anthropic

    client = Anthropic(base_url=address.removesuffix("/v1"), api_key="x", max_retries=0)

    def ask(model: str) -> Iterator[Any]:
        messages = body(model)["messages"]
        create = client.messages.create
        with create(model=model, messages=messages, max_tokens=100, stream=True) as events:
            for event in events:
                if event.type == "content_block_delta":
                    yield event.delta.text

    return ask


def openai(address: str) -> Ask:
    """openai-python."""
    from openai import DefaultHttpxClient, OpenAI

    http = DefaultHttpxClient(limits=keeping_connections())
    client = OpenAI(base_url=address, api_key="x", max_retries=0, http_client=http)

    def ask(model: str) -> Iterator[Any]:
        messages = body(model)["messages"]
        create = client.chat.completions.create
        with create(model=model, messages=messages, stream=True) as chunks:
            for chunk in chunks:
                yield chunk.choices[0].delta.content

    return ask


def keeping_connections() -> Any:
    """Give limits for a client of openai-python that let it keep every connection."""
    try:
        import httpx2 as httpx  # since 3.52
    except ImportError:
        import httpx
    return httpx.Limits(max_connections=None, max_keepalive_connections=None)


def httpx_sse(address: str) -> Ask:
    """httpx-sse and json."""
    import httpx
    from httpx_sse import connect_sse

    client = httpx.Client(limits=httpx.Limits(max_connections=None), timeout=60)

    def ask(model: str) -> Iterator[Any]:
        url = address + "/chat/completions"
        with connect_sse(client, "POST", url, json=body(model)) as source:
            for event in source.iter_sse():
                if event.data == "[DONE]":
                    break
                yield json.loads(event.data)["choices"][0]["delta"]["content"]

    return ask


def sseclient(address: str) -> Ask:
    """requests, sseclient-py and json."""
    from sseclient import SSEClient

    post = _requests(address)

    def ask(model: str) -> Iterator[Any]:
        with post(model) as response:
            for event in SSEClient(response).events():
                if event.data == "[DONE]":
                    break
                yield json.loads(event.data)["choices"][0]["delta"]["content"]

    return ask


def bare(address: str) -> Ask:
    """The loop that people write: requests, iter_lines and json.loads."""
    post = _requests(address)

    def ask(model: str) -> Iterator[Any]:
        with post(model) as response:
            for line in response.iter_lines():
                if line.startswith(b"data: "):
                    if line == b"data: [DONE]":
                        break
                    yield json.loads(line[6:])["choices"][0]["delta"]["content"]

    return ask


def chatlas(address: str) -> Ask:
    """chatlas, a new chat for each question."""
    from chatlas import Chat, ChatOpenAICompletions

    provider = ChatOpenAICompletions(base_url=address, api_key="x", model="m").provider
    return lambda model: Chat(provider).stream("x", kwargs={"model": model})


def langchain(address: str) -> Ask:
    """langchain-openai."""
    from langchain_openai import ChatOpenAI

    chat = ChatOpenAI(base_url=address, api_key="x")

    def ask(model: str) -> Iterator[Any]:
        for chunk in chat.stream("x", model=model):
            yield chunk.content

    return ask


def litellm(address: str) -> Ask:
    """litellm."""
    import litellm as package

    package.REPEATED_STREAMING_CHUNK_LIMIT = 10**9  # our chunks are all alike

    def ask(model: str) -> Iterator[Any]:
        messages = [{"role": "user", "content": "x"}]
        for chunk in package.completion(
            model="openai/" + model, messages=messages, api_base=address, api_key="x", stream=True
        ):
            yield chunk.choices[0].delta.content

    return ask


def body(model: str) -> dict[str, Any]:
    """Give what to ask."""
    return {"model": model, "stream": True, "messages": [{"role": "user", "content": "x"}]}


def _requests(address: str) -> Callable[[str], Any]:
    import requests

    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=MOST_STREAMS))
    url = address + "/chat/completions"
    return lambda model: session.post(url, json=body(model), stream=True)
