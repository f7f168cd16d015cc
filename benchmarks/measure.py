"""One client, one measurement, one process: ``python measure.py CLIENT MEASURE ADDRESS …``.

Started by its path, so that the installed packages are imported and not the source tree beside.
Prints one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import shutil
import statistics
import sys
import threading
import time
from importlib import metadata
from typing import TYPE_CHECKING, Any, NamedTuple

import async_clients
import clients
from floor import Floor
from limits import raise_limits
from readers import Merged, Tasks, Threads
from receiver import receive
from window import Window, resident

if TYPE_CHECKING:
    from collections.abc import Callable

    from readers import Reader

WARM_UP = "burst:200:290"
RECEIVER = "receiver.c"


class Client(NamedTuple):
    """How answers are read, and what has to be there for that: distributions, and two things."""

    reader: Callable[[str], Any]
    needs: tuple[str, ...] = ()

    def missing(self) -> str:
        """Name what is not there."""
        is_there = {"cc": shutil.which("cc") is not None, "epoll": sys.platform == "linux"}
        there = {name for name in self.needs if is_there.get(name, is_installed(name))}
        return ", ".join(name for name in self.needs if name not in there)


def is_installed(distribution: str) -> bool:
    """Say whether a distribution is installed; a folder of its name beside us is none."""
    return any(metadata.distributions(name=distribution))


def threads(make: Callable[..., Any], *needs: str, **options: Any) -> Client:
    """Give a synchronous client."""
    return Client(lambda address: Threads(make(address, **options)), needs)


def tasks(make: Callable[[str], Any], *needs: str) -> Client:
    """Give an asynchronous client."""
    return Client(lambda address: Tasks(make, address), needs)


CLIENTS = {
    "inferd-engine": threads(clients.ours),
    "inferd-engine, pure": threads(clients.ours),
    "inferd-engine, buffer=0": threads(clients.ours, buffer=0),
    "inferd-engine, merge": Client(lambda address: Merged(clients.ours(address, buffer=0))),
    "inferd-engine, Messages": threads(clients.messages),
    "anthropic": threads(clients.anthropic, "anthropic"),
    "openai-python": threads(clients.openai, "openai"),
    "httpx-sse": threads(clients.httpx_sse, "httpx", "httpx-sse"),
    "sseclient-py": threads(clients.sseclient),
    "requests.iter_lines": threads(clients.bare),
    "chatlas": threads(clients.chatlas, "chatlas"),
    "langchain-openai": threads(clients.langchain, "langchain-openai"),
    "litellm": threads(clients.litellm, "litellm"),
    "openai-python, async": tasks(async_clients.openai, "openai"),
    "httpx, async": tasks(async_clients.httpx, "httpx"),
    "aiohttp": tasks(async_clients.aiohttp, "aiohttp"),
    "floor": Client(Floor, ("epoll",)),
    RECEIVER: Client(str, ("epoll", "cc")),  # reads in a process of its own
}


def burst(make: Callable[[str], Reader], address: str, count: int, size: int) -> dict[str, float]:
    """Measure CPU and wall time per event of an answer that comes as fast as it can."""
    reader = make(address)
    reader.drain(WARM_UP)
    cpu, wall = time.process_time(), time.perf_counter()
    seen = reader.drain(f"burst:{count}:{size}")
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert count <= seen <= count + 1, seen  # ours tells the end, too
    return {"cpu_us": cpu / count * 1e6, "wall_us": wall / count * 1e6}


def paced(
    make: Callable[[str], Reader], address: str, streams: int, count: int, rate: float, busy: int
) -> dict[str, float]:
    """Measure many streams at once, ``rate`` events a second each, beside CPU-bound threads."""
    reader = make(address)
    reader.drain(WARM_UP)
    gc.collect()
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            sum(range(1000))

    spinners = [threading.Thread(target=spin, daemon=True) for _ in range(busy)]
    for thread in spinners:
        thread.start()
    window = Window(streams, count)
    reader.read([paced_model(streams, count, rate)] * streams, window)
    stop.set()
    return window.result()


def paced_model(streams: int, count: int, rate: float) -> str:
    """Give what this process alone asks for."""
    return f"paced:{count}:{rate}:{streams}:{os.getpid()}"


def first(make: Callable[[str], Reader], address: str, times: int) -> dict[str, float]:
    """Measure the time to the first token: with a client just made, and over a warm connection."""
    fresh: list[float] = []
    warm: list[float] = []
    make(address).drain(WARM_UP)  # whatever is loaded at the first request is loaded now
    for _ in range(times):
        begun = time.perf_counter()
        reader = make(address)
        made = time.perf_counter() - begun
        fresh.append((made + reader.first("burst:3:290")) * 1e6)
        warm.append(reader.first("burst:3:290") * 1e6)
    return {"fresh_us": statistics.median(fresh), "warm_us": statistics.median(warm)}


def held(make: Callable[[str], Reader], address: str, streams: int) -> dict[str, float]:
    """Measure the memory of a stream that is open and waits, and how long closing all takes."""
    reader = make(address)
    reader.drain(WARM_UP)
    before = resident()
    for _ in range(streams):
        reader.hold("stalled:10", 10)
    used = (resident() - before) / streams / 1024
    begun = time.perf_counter()
    reader.let_go()
    return {"kib": used, "close_ms": (time.perf_counter() - begun) * 1000}


def receive_only(kind: str, address: str, numbers: list[float]) -> dict[str, float]:
    """Measure what receiving takes without a client."""
    if kind == "burst":
        count, size = map(int, numbers)
        found = receive(address, f"burst:{count}:{size}", 1, count)
        return {"cpu_us": found["from_request_us"] / count, "wall_us": found["wall_us"] / count}
    streams, count = int(numbers[0]), int(numbers[1])
    found = receive(address, paced_model(streams, count, numbers[2]), streams, streams * count)
    return {"cpu_us": found["from_first_us"] / (streams * (count - 1))}


def give_up(failure: threading.ExceptHookArgs) -> None:
    """End the process when one of its streams has failed: the others would wait for it."""
    sys.stderr.write(f"{failure.exc_type.__name__}: {failure.exc_value}\n")
    sys.stderr.flush()
    os._exit(1)


def main() -> None:
    """Measure as the command line says."""
    raise_limits()
    threading.excepthook = give_up
    parser = argparse.ArgumentParser()
    parser.add_argument("client", choices=CLIENTS)
    parser.add_argument("measure", choices=["burst", "paced", "first", "held"])
    parser.add_argument("address")
    parser.add_argument("numbers", nargs="*", type=float)
    options = parser.parse_args()
    numbers, address = options.numbers, options.address
    if options.client == RECEIVER:
        found = receive_only(options.measure, address, numbers)
    else:
        make = CLIENTS[options.client].reader
        whole = [int(number) for number in numbers]
        if options.measure == "burst":
            found = burst(make, address, *whole)
        elif options.measure == "paced":
            found = paced(make, address, whole[0], whole[1], numbers[2], *whole[3:])
        else:
            found = {"first": first, "held": held}[options.measure](make, address, *whole)
    with contextlib.suppress(ImportError):
        if options.client.startswith("inferd-engine"):
            from inferd_engine.wire.sse import decoder as sse

            found |= {"implementation": sse.IMPLEMENTATION, "file": sse.__file__}
    print(json.dumps(found), flush=True)
    os._exit(0)  # what is open, or spins, is nobody's business any more


if __name__ == "__main__":
    main()
