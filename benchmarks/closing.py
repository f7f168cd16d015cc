"""How fast streams and calls end: ``python benchmarks/closing.py [rounds]``.

For each phase: how long ``close()`` (or a token's ``cancel()``) takes to return, until the consumer
is awake, and until the upstream sees the client go; median and maximum, in milliseconds.  Then how
far deadlines overshoot, against silence and against a trickle.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import threading
import time
from typing import TYPE_CHECKING

import inferd_engine as ie
from inferd_engine.testing import Reply, Stall, Trickle, Upstream, chunk

if TYPE_CHECKING:
    from collections.abc import Callable

SETTLE = 0.02  # seconds until whoever is to be woken waits
BODIES = {
    "body, chunked": Reply([chunk("a"), Stall()]),
    "body, until close": Reply([chunk("a"), Stall()], framing="close"),
    "body, trickle": Reply([chunk("a"), Trickle(b": ", 0.01, forever=True)]),
}
FLOOD = Reply([chunk("a" * 1000)] * 100_000)


def until(condition: Callable[[], bool], limit: float = 5.0) -> float:
    """Give the moment when a condition came true."""
    deadline = time.perf_counter() + limit
    while not condition():
        if time.perf_counter() > deadline:
            return float("nan")
    return time.perf_counter()


def end(act: Callable[[], None], woken: list[float], gone: threading.Event) -> tuple[float, ...]:
    """End something; give the three times in ms."""
    seen: list[float] = []
    watcher = threading.Thread(target=lambda: (gone.wait(5.0), seen.append(time.perf_counter())))
    watcher.start()
    time.sleep(SETTLE)
    begun = time.perf_counter()
    act()
    returned = time.perf_counter()
    watcher.join()
    until(lambda: bool(woken))
    return tuple((at - begun) * 1000 for at in (returned, woken[0], seen[0]))


def close_in_body(reply: Reply, buffer: int, how: str) -> tuple[float, ...]:
    """Close a stream whose consumer waits, or whose worker waits for room."""
    with (
        Upstream(reply) as upstream,
        ie.OpenAiCompat(base_url=upstream.url, api_key="", buffer=buffer) as backend,
    ):
        stream = backend.stream("x")
        next(stream)
        woken: list[float] = []

        def consume() -> None:
            stream.poll(3600.0) if how == "poll" else next(stream, None)
            woken.append(time.perf_counter())

        consumer = threading.Thread(target=consume)
        if how == "none":
            worker = stream._worker  # noqa: SLF001 - who has to wake here
            consumer = threading.Thread(
                target=lambda: (worker.join(), woken.append(time.perf_counter()))
            )
        consumer.start()
        times = end(stream.close, woken, upstream.requests[0].gone)
        consumer.join()
        return times


def cancel_call(wait_for: str) -> tuple[float, ...]:
    """Cancel a call that has no stream yet."""
    token, woken, gone = ie.CancelToken(), [], threading.Event()
    scheme = "https" if wait_for == "TLS handshake" else "http"
    is_connecting = wait_for == "connecting"
    with socket.create_server(("127.0.0.1", 0), backlog=0 if is_connecting else 10) as server:
        address = server.getsockname()
        fillers = [socket.socket() for _ in range(4 if is_connecting else 0)]
        for filler in fillers:  # until SYNs are dropped
            filler.settimeout(0)
            filler.connect_ex(address)
        backend = ie.OpenAiCompat(base_url=f"{scheme}://127.0.0.1:{address[1]}", api_key="")

        def call() -> None:
            try:
                backend.stream("x", cancel=token)
            except ie.RequestCancelledError:
                woken.append(time.perf_counter())

        def serve() -> None:
            peer, _ = server.accept()
            while peer.recv(65536):
                pass
            gone.set()
            peer.close()

        threads = [threading.Thread(target=call)]
        if is_connecting:
            gone.set()  # nobody there can see anything
        else:
            threads.append(threading.Thread(target=serve))
        for thread in threads:
            thread.start()
        times = end(token.cancel, woken, gone)
        for thread in threads:
            thread.join()
        for filler in fillers:
            filler.close()
        backend.close()
    return times


def overshoot(steps: list, **limits: float) -> tuple[float, ...]:
    """Give how far a deadline was overshot, in ms."""
    limit = next(iter(limits.values()))
    with (
        Upstream(Reply(steps)) as upstream,
        ie.OpenAiCompat(base_url=upstream.url, api_key="", **limits) as backend,
    ):
        begun = time.perf_counter()
        try:
            backend.complete("x")
        except ie.DeadlineError:
            return ((time.perf_counter() - begun - limit) * 1000,)
    return (float("nan"),)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rounds", nargs="?", type=int, default=50)
    rounds = parser.parse_args().rounds
    cases: dict[str, Callable[[], tuple[float, ...]]] = {}
    for name, reply in BODIES.items():
        for buffer in (512, 0):
            cases[f"{name}, buffer={buffer}"] = lambda r=reply, b=buffer: close_in_body(
                r, b, "next"
            )
    chunked = BODIES["body, chunked"]
    cases["consumer in poll()"] = lambda: close_in_body(chunked, 512, "poll")
    cases["worker waits for room"] = lambda: close_in_body(FLOOD, 4, "none")
    for phase in ("connecting", "TLS handshake", "waiting for headers"):
        cases[phase] = lambda p=phase: cancel_call(p)
    print(f"{'ms, median / max':<32}{'returns':>16}{'consumer awake':>18}{'upstream sees':>18}")
    for name, case in cases.items():
        columns = zip(*[case() for _ in range(rounds)], strict=True)
        cells = [f"{statistics.median(c):.2f} / {max(c):.2f}" if c[0] > 0 else "-" for c in columns]
        print(f"{name:<32}{cells[0]:>16}{cells[1]:>18}{cells[2]:>18}")
    print(f"\n{'deadline of 200 ms':<32}{'overshoot':>16}")
    ping = [Trickle(b": ping\n\n", 0.05 / 8, forever=True)]
    bytewise = [Trickle(b"data: " + b"x" * 10_000, 0.05)]
    for name, steps, option in (
        ("total, silence", [Stall()], "timeout"),
        ("total, comments", ping, "timeout"),
        ("total, single bytes", bytewise, "timeout"),
        ("idle, comments", [chunk("a"), *ping], "idle_timeout"),
        ("first token, comments", ping, "first_token_timeout"),
    ):
        times = [overshoot(steps, **{option: 0.2})[0] for _ in range(max(5, rounds // 5))]
        print(f"{name:<32}{f'{statistics.median(times):.2f} / {max(times):.2f}':>16}")


if __name__ == "__main__":
    main()
