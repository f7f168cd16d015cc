"""The asynchronous clients: an answer is an asynchronous iterator, read by a task of one loop.

A client is a function that takes the upstream's address and, called in a running loop, gives a
function from a model (see ``upstream.py``) to an asynchronous iterator over its answer's texts.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from clients import body, keeping_connections

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    AskLater = Callable[[str], AsyncIterator[Any]]


def openai(address: str) -> AskLater:
    """openai-python's AsyncOpenAI."""
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient

    http = DefaultAsyncHttpxClient(limits=keeping_connections())
    client = AsyncOpenAI(base_url=address, api_key="x", max_retries=0, http_client=http)

    async def ask(model: str) -> AsyncIterator[Any]:
        messages = body(model)["messages"]
        create = client.chat.completions.create
        async with await create(model=model, messages=messages, stream=True) as chunks:
            async for chunk in chunks:
                yield chunk.choices[0].delta.content

    return ask


def httpx(address: str) -> AskLater:
    """httpx.AsyncClient, aiter_lines and json."""
    import httpx as package

    limits = package.Limits(max_connections=None, max_keepalive_connections=None)
    client = package.AsyncClient(limits=limits, timeout=60)

    async def ask(model: str) -> AsyncIterator[Any]:
        url = address + "/chat/completions"
        async with client.stream("POST", url, json=body(model)) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    if line == "data: [DONE]":
                        break
                    yield json.loads(line[6:])["choices"][0]["delta"]["content"]

    return ask


def aiohttp(address: str) -> AskLater:
    """aiohttp, line by line, and json."""
    import aiohttp as package

    session = package.ClientSession(
        connector=package.TCPConnector(limit=0),
        timeout=package.ClientTimeout(total=None),
        trust_env=True,
    )

    async def ask(model: str) -> AsyncIterator[Any]:
        async with session.post(address + "/chat/completions", json=body(model)) as response:
            async for line in response.content:
                if line.startswith(b"data: "):
                    if line == b"data: [DONE]\n":
                        break
                    yield json.loads(line[6:])["choices"][0]["delta"]["content"]

    return ask
