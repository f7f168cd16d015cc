"""One client, one measurement, one process: ``python clients.py CLIENT MEASURE ADDRESS …``.

Started by its path, so that the installed packages are imported and not the source tree beside.
Prints one JSON object.  A client is a function that takes the upstream's address and gives a
function from a model (see ``upstream.py``) to an iterator over the texts of its answer.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Ask = Callable[[str], Iterator[Any]]

WARM_UP = "burst:200:290"
MOST_STREAMS = 300  # connections that every client is allowed to keep


# --- the clients ---------------------------------------------------------------------------------


def ours(address: str, **options: Any) -> Ask:
    """Ours, as it comes."""
    import inferd_engine

    backend = inferd_engine.OpenAiCompat(
        base_url=address, api_key="", max_connections=MOST_STREAMS, **options
    )
    return lambda model: backend.with_options(model=model).stream("x")


def ours_here(address: str) -> Ask:
    """Ours without a worker: the consumer reads."""
    return ours(address, buffer=0)


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
        said = [{"role": "user", "content": "x"}]
        for event in client.messages.create(
            model=model, messages=said, max_tokens=100, stream=True
        ):
            if event.type == "content_block_delta":
                yield event.delta.text

    return ask


def openai(address: str) -> Ask:
    """openai-python."""
    import httpx
    from openai import OpenAI

    limits = httpx.Limits(max_connections=None)
    client = OpenAI(
        base_url=address, api_key="x", max_retries=0, http_client=httpx.Client(limits=limits)
    )

    def ask(model: str) -> Iterator[Any]:
        messages = [{"role": "user", "content": "x"}]
        for chunk in client.chat.completions.create(model=model, messages=messages, stream=True):
            yield chunk.choices[0].delta.content

    return ask


def httpx_sse(address: str) -> Ask:
    """httpx-sse and json."""
    import httpx
    from httpx_sse import connect_sse

    client = httpx.Client(limits=httpx.Limits(max_connections=None), timeout=60)

    def ask(model: str) -> Iterator[Any]:
        url = address + "/chat/completions"
        with connect_sse(client, "POST", url, json=_body(model)) as source:
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


def floor(address: str) -> Ask:
    """What Python cannot go below: a raw socket, bytes.split, and msgspec into a struct."""
    import msgspec

    delta = msgspec.defstruct("Delta", [("content", str)])
    choice = msgspec.defstruct("Choice", [("delta", delta)])
    chunk = msgspec.defstruct("Chunk", [("choices", tuple[choice])])
    decode = msgspec.json.Decoder(chunk).decode
    host, _, port = address.split("/")[2].partition(":")

    def ask(model: str) -> Iterator[Any]:
        body = json.dumps(_body(model)).encode()
        with socket.create_connection((host, int(port))) as sock:
            sock.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s"
                % (host.encode(), len(body), body)
            )
            rest = b""
            while data := sock.recv(65536):
                *events, rest = (rest + data).split(b"\n\n")
                for event in events:
                    if event.endswith(b"[DONE]"):
                        return
                    yield decode(event[event.index(b"{") :]).choices[0].delta.content

    return ask


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


def _body(model: str) -> dict[str, Any]:
    return {"model": model, "stream": True, "messages": [{"role": "user", "content": "x"}]}


def _requests(address: str) -> Callable[[str], Any]:
    import requests

    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=MOST_STREAMS))
    url = address + "/chat/completions"
    return lambda model: session.post(url, json=_body(model), stream=True)


CLIENTS = {
    "inferd-engine": ours,
    "inferd-engine, pure": ours,
    "inferd-engine, buffer=0": ours_here,
    "inferd-engine, Messages": messages,
    "anthropic": anthropic,
    "openai-python": openai,
    "httpx-sse": httpx_sse,
    "sseclient-py": sseclient,
    "requests.iter_lines": bare,
    "floor": floor,
    "langchain-openai": langchain,
    "litellm": litellm,
}


# --- the measurements ----------------------------------------------------------------------------


def _drain(events: Iterator[Any]) -> int:
    count = 0
    for _ in events:
        count += 1
    return count


def burst(ask: Ask, count: int, size: int) -> dict[str, float]:
    """Measure CPU and wall time per event of an answer that comes as fast as it can."""
    _drain(ask(WARM_UP))
    cpu, wall = time.process_time(), time.perf_counter()
    seen = _drain(ask(f"burst:{count}:{size}"))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert count <= seen <= count + 1, seen
    return {"cpu_us": cpu / count * 1e6, "wall_us": wall / count * 1e6}


def paced(ask: Ask, streams: int, count: int, rate: float) -> dict[str, float]:
    """Measure CPU per event of many streams at once, from the first event of the last stream on."""
    _drain(ask(WARM_UP))
    marks: list[float] = []
    begun = threading.Barrier(streams, action=lambda: marks.append(time.process_time()))
    ended = threading.Barrier(streams, action=lambda: marks.append(time.process_time()))

    def consume() -> None:
        events = iter(ask(f"paced:{count}:{rate}"))
        next(events)
        begun.wait()
        seen = _drain(events)
        ended.wait()
        assert count - 1 <= seen <= count, seen

    threads = [threading.Thread(target=consume) for _ in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    start, end = marks
    return {"cpu_us": (end - start) / (streams * (count - 1)) * 1e6}


def latency(ask: Ask, count: int, gap: float, busy: int) -> dict[str, float]:
    """Measure how long after it was sent an event is there, beside ``busy`` CPU-bound threads."""
    _drain(ask(WARM_UP))
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            sum(range(1000))

    for _ in range(busy):
        threading.Thread(target=spin, daemon=True).start()
    took: list[float] = []
    for event in ask(f"stamped:{count}:{gap}"):
        now = time.monotonic_ns()
        text = getattr(event, "delta", event)
        if isinstance(text, str) and text.isdigit():
            took.append((now - int(text)) / 1000)
    stop.set()
    assert len(took) == count, len(took)
    took.sort()
    return {"median_us": statistics.median(took), "p99_us": took[int(len(took) * 0.99)]}


def first(make: Callable[[str], Ask], address: str, times: int) -> dict[str, float]:
    """Measure the time to the first token: with a client just made, and over a warm connection."""
    fresh: list[float] = []
    warm: list[float] = []
    _drain(make(address)(WARM_UP))  # whatever is loaded at the first request is loaded now
    for _ in range(times):
        ask = None
        for took in (fresh, warm):
            begun = time.perf_counter()
            ask = ask or make(address)
            events = iter(ask("burst:3:290"))
            next(events)
            took.append((time.perf_counter() - begun) * 1e6)
            _drain(events)
    return {"fresh_us": statistics.median(fresh), "warm_us": statistics.median(warm)}


def memory(ask: Ask, streams: int) -> dict[str, float]:
    """Measure the resident memory of a stream that is open and waits."""
    _drain(ask(WARM_UP))
    before = _resident()
    opened = []
    for _ in range(streams):
        events = iter(ask("stalled:10"))
        for _ in range(10):
            next(events)
        opened.append(events)
    used = (_resident() - before) / streams / 1024
    sys.stdout.write(json.dumps({"kib": used}))
    sys.stdout.flush()
    os._exit(0)  # nobody waits for stalled streams


def _resident() -> int:
    pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("client", choices=CLIENTS)
    parser.add_argument("measure", choices=["burst", "paced", "latency", "first", "memory"])
    parser.add_argument("address")
    parser.add_argument("numbers", nargs="*", type=float)
    options = parser.parse_args()
    make, numbers = CLIENTS[options.client], options.numbers
    if options.measure == "first":
        found = first(make, options.address, int(numbers[0]))
    else:
        ask = make(options.address)
        if options.measure == "burst":
            found = burst(ask, int(numbers[0]), int(numbers[1]))
        elif options.measure == "paced":
            found = paced(ask, int(numbers[0]), int(numbers[1]), numbers[2])
        elif options.measure == "latency":
            found = latency(ask, int(numbers[0]), numbers[1], int(numbers[2]))
        else:
            found = memory(ask, int(numbers[0]))
    with contextlib.suppress(ImportError):
        if options.client.startswith("inferd-engine"):
            from inferd_engine.wire.sse import decoder as sse

            found |= {"implementation": sse.IMPLEMENTATION, "file": sse.__file__}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
