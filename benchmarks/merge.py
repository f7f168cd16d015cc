"""Read many streams at once: ``python benchmarks/merge.py [--rounds N] [--measure …]``.

An upstream of one thread, in a process of its own, sends every event in a segment of its own, the
streams evenly spread in time.  The readers take turns, each in a process of its own, and each round
has all of them; what counts are ratios of one round.  Starting the requests is left out.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import heapq
import json
import os
import resource
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients import bare, ours_here
from streams import chunk
from upstream import END, HEAD, chunked

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).resolve().parent
MERGE, LOOP, THREADS, BARE = "merge", "epoll loop", "a thread each", "bare, a thread each"
# A measurement: what is measured, its numbers (streams, events of each, events a second), whose.
MEASUREMENTS = {
    "64": ("CPU per event, µs: 64 streams, 50 events/s each", [64, 150, 50], None),
    "1000": ("the same: 1 000 streams, 3 events/s each", [1000, 12, 3], None),
    "cancel": ("ms to close 1 000 streams", [1000, 10_000, 3], [MERGE]),
}


# --- the upstream --------------------------------------------------------------------------------


def event(text: str) -> bytes:
    """Give an event as OpenAI sends it, in an HTTP chunk of its own."""
    return chunked(b"data: " + chunk(text) + b"\n\n")


class Sender:
    """Send events of many answers, each when its time has come."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, socket.socket, int, float]] = []
        self._begun: list[socket.socket] = []

    def begin(self, connection: socket.socket, body: dict[str, Any]) -> None:
        """Begin an answer; the rest of it comes when as many have begun as its model says."""
        connection.sendall(HEAD + event("0"))
        streams, count, gap = body["model"].split(":")[1:]
        self._begun.append(connection)
        if len(self._begun) < int(streams):
            return
        begin = time.monotonic() + 0.5 + len(self._begun) / 300  # then whoever asked is waiting
        for number, one in enumerate(self._begun):
            moment = begin + float(gap) * number / len(self._begun)
            heapq.heappush(self._due, (moment, number, one, int(count) - 1, float(gap)))
        self._begun = []

    def send(self) -> float | None:
        """Send what is due; give for how long nothing is."""
        while self._due:
            moment, number, connection, left, gap = self._due[0]
            now = time.monotonic()
            if moment > now:
                return moment - now
            data = event(str(time.monotonic_ns())) if left else END
            entry = (moment + gap if left > 1 else moment, number, connection, left - 1, gap)
            with contextlib.suppress(OSError):
                connection.sendall(data)
                if left:
                    heapq.heapreplace(self._due, entry)
                    continue
            heapq.heappop(self._due)
        return None


def serve() -> None:
    """Serve until the process is killed."""
    sender, selector = Sender(), selectors.DefaultSelector()
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as server:
        selector.register(server, selectors.EVENT_READ)
        print(f"http://127.0.0.1:{server.getsockname()[1]}/v1", flush=True)
        received: dict[socket.socket, bytes] = {}
        while True:
            for key, _ in selector.select(sender.send()):
                if key.fileobj is server:
                    connection, _ = server.accept()
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    selector.register(connection, selectors.EVENT_READ)
                    received[connection] = b""
                    continue
                connection = key.fileobj
                data = b""
                with contextlib.suppress(OSError):
                    data = connection.recv(65536)
                if not data:
                    selector.unregister(connection)
                    received.pop(connection)
                    connection.close()
                    continue
                received[connection] += data
                head, blank, body = received[connection].partition(b"\r\n\r\n")
                length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
                if blank and len(body) >= int(length):
                    received[connection] = b""
                    sender.begin(connection, json.loads(body))


# --- the readers ---------------------------------------------------------------------------------


class Window:
    """Take the CPU and the delays of all events from the last stream's first one on."""

    def __init__(self, streams: int) -> None:
        self._waiting = streams
        self._lock = threading.Lock()
        self.delays: list[float] = []
        self.count = 0

    def open(self) -> None:
        """Say that a stream's first event is there."""
        with self._lock:
            self._waiting -= 1
            if not self._waiting:
                self.cpu = time.process_time()
                self.before = self.count

    def result(self) -> dict[str, float]:
        """Give the figures of what came since."""
        cpu = time.process_time() - self.cpu
        delays = sorted(self.delays)
        return {
            "cpu_us": cpu / len(delays) * 1e6,
            "median_us": statistics.median(delays) / 1000,
            "p99_us": delays[int(len(delays) * 0.99)] / 1000,
        }


def models(streams: int, count: int, rate: float) -> list[str]:
    """Give what to ask for."""
    return [f"spread:{streams}:{count}:{1 / rate}"] * streams


def read_merged(address: str, numbers: list[int]) -> dict[str, float]:
    """Read with ``ie.merge()``."""
    import inferd_engine as ie

    ask = ours_here(address)
    _warm(ask, numbers)
    window, delays, now = Window(numbers[0]), [], time.monotonic_ns
    before = _resident()
    streams = [ask(model) for model in models(*numbers)]
    opened = set()
    with ie.merge(streams) as merge:
        for stream, event in merge:
            text = getattr(event, "delta", "")
            if text == "0":
                opened.add(stream)
                window.open()
                if len(opened) == numbers[0]:
                    used = (_resident() - before) / numbers[0] / 1024
            elif text:
                delays.append(now() - int(text))
            if len(opened) < numbers[0]:
                delays.clear()
    window.delays = delays
    return {**window.result(), "kib": used}


def read_loop(address: str, numbers: list[int]) -> dict[str, float]:
    """Read with the loop that one would write by hand: epoll, recv, split, msgspec."""
    import msgspec

    delta = msgspec.defstruct("Delta", [("content", str)])
    choice = msgspec.defstruct("Choice", [("delta", delta)])
    document = msgspec.defstruct("Chunk", [("choices", tuple[choice])])
    decode = msgspec.json.Decoder(document).decode
    host, _, port = address.split("/")[2].partition(":")
    window, delays, now = Window(numbers[0]), [], time.monotonic_ns
    before = _resident()
    socks, rests = {}, {}
    selector = __import__("select").epoll()
    for model in models(*numbers):
        said = [{"role": "user", "content": "x"}]
        body = json.dumps({"model": model, "stream": True, "messages": said}).encode()
        sock = socket.create_connection((host, int(port)))
        sock.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s"
            % (host.encode(), len(body), body)
        )
        socks[sock.fileno()], rests[sock.fileno()] = sock, b""
        selector.register(sock.fileno(), 1)
    waiting = numbers[0]
    used = 0.0
    while socks:
        for fileno, _ in selector.poll():
            data = socks[fileno].recv(65536)
            *events, rests[fileno] = (rests[fileno] + data).split(b"\n\n")
            for event in events:
                if event.endswith(b"[DONE]"):
                    selector.unregister(fileno)
                    socks.pop(fileno).close()
                    break
                text = decode(event[event.index(b"{") :]).choices[0].delta.content
                if text == "0":
                    waiting -= 1
                    window.open()
                    used = (_resident() - before) / numbers[0] / 1024
                elif text:
                    delays.append(now() - int(text))
                if waiting:
                    delays.clear()
    window.delays = delays
    return {**window.result(), "kib": used}


def read_in_threads(
    make: Callable[[str], Any], address: str, numbers: list[int]
) -> dict[str, float]:
    """Read each stream in a thread of its own."""
    ask = make(address)
    _warm(ask, numbers)
    window, now = Window(numbers[0]), time.monotonic_ns
    begun = threading.Barrier(numbers[0])

    def consume(model: str) -> None:
        delays = []
        for event in ask(model):
            text = getattr(event, "delta", event)
            if text == "0":
                window.open()
                begun.wait()
            elif isinstance(text, str) and text:
                delays.append(now() - int(text))
        window.delays += delays

    before = _resident()
    threads = [threading.Thread(target=consume, args=(model,)) for model in models(*numbers)]
    for thread in threads:
        thread.start()
    used = (_resident() - before) / numbers[0] / 1024
    for thread in threads:
        thread.join()
    return {**window.result(), "kib": used}


def cancel_merged(address: str, numbers: list[int]) -> dict[str, float]:
    """Close many streams that one thread reads."""
    import inferd_engine as ie

    ask = ours_here(address)
    _warm(ask, numbers)
    with ie.merge(ask(model) for model in models(*numbers)) as merge:
        opened = 0
        for _, event in merge:
            opened += getattr(event, "delta", "") == "0"
            if opened == numbers[0]:
                break
        begun, cpu = time.perf_counter(), time.process_time()
        merge.close()
        took, cpu = time.perf_counter() - begun, time.process_time() - cpu
    return {"cpu_ms": cpu * 1000, "ms": took * 1000}


def _warm(ask: Callable[[str], Any], numbers: list[int]) -> None:
    for _ in ask(f"spread:1:3:{1 / numbers[2]}"):
        pass
    gc.collect()


def _resident() -> int:
    pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


READERS: dict[str, Callable[[str, list[int]], dict[str, float]]] = {
    MERGE: read_merged,
    LOOP: read_loop,
    THREADS: lambda address, numbers: read_in_threads(ours_here, address, numbers),
    BARE: lambda address, numbers: read_in_threads(bare, address, numbers),
}


# --- the comparison ------------------------------------------------------------------------------


def measure(reader: str, name: str, address: str) -> dict[str, float]:
    """Measure one reader once, in a process of its own."""
    printed = subprocess.run(
        [sys.executable, str(HERE / "merge.py"), "--reader", reader, name, address],
        cwd=tempfile.gettempdir(),
        env={**os.environ, "OPENAI_API_KEY": ""},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout
    found: dict[str, float] = json.loads(printed)
    return found


def compare(address: str, rounds: int, names: list[str]) -> list[str]:
    """Take all measurements, in rounds; give tables of medians and of ratios in a round."""
    lines: list[str] = []
    for name in names:
        what, _, readers = MEASUREMENTS[name]
        taken: dict[str, list[dict[str, float]]] = {}
        for number in range(rounds):
            for reader in readers or READERS:
                print(f"round {number + 1}: {name}, {reader}", file=sys.stderr)
                taken.setdefault(reader, []).append(measure(reader, name, address))
        figures = list(taken[MERGE][0])
        lines += [f"{what}:", "", f"| reader | {' | '.join(figures)} | merge : it, CPU |"]
        lines += ["|---" * (len(figures) + 2) + "|"]
        for reader, found in taken.items():
            medians = [statistics.median(one[figure] for one in found) for figure in figures]
            ratio = statistics.median(
                mine[figures[0]] / theirs[figures[0]]
                for mine, theirs in zip(taken[MERGE], found, strict=True)
            )
            shown = " | ".join(f"{value:.3g}" for value in medians)
            lines.append(f"| {reader} | {shown} | {ratio:.2f} |")
        lines.append("")
    return lines


def main() -> None:
    """Compare as the command line says, or be the upstream or a reader of it."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    parser = argparse.ArgumentParser(prog="python benchmarks/merge.py", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure", nargs="*", choices=MEASUREMENTS, default=list(MEASUREMENTS))
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--reader", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
    if options.reader:
        reader, name, address = options.reader
        read = cancel_merged if name == "cancel" else READERS[reader]
        print(json.dumps(read(address, MEASUREMENTS[name][1])), flush=True)
        os._exit(0)
    upstream = subprocess.Popen(
        [sys.executable, str(HERE / "merge.py"), "--serve"], stdout=subprocess.PIPE, text=True
    )
    try:
        address = upstream.stdout.readline().strip()  # type: ignore[union-attr]
        print("\n".join(compare(address, options.rounds, options.measure)))
    finally:
        upstream.kill()
        upstream.wait()


if __name__ == "__main__":
    main()
