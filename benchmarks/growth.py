"""How costs grow: ``python benchmarks/growth.py [--rounds N] [--json FILE]``.

With the events of an answer and the bytes of an event; with the streams that are read at once, from
one to 4 096; and with the time between two events of a stream.  However many streams there are, all
together have 2 000 events a second, so many streams have few each: what grows then, and with the
time between two events, is what a stream costs by being there.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

from compare import MERGE, OURS, UNBUFFERED, shown
from measure import RECEIVER
from processes import FailedError, headline, installed, measure, options, upstream

if TYPE_CHECKING:
    import argparse

RATE = 2_000  # events a second of all streams
EVENTS = 4_000  # of all streams, and at least three of each
BYTES = 6_000_000  # of a burst
STREAMS = [1, 4, 16, 64, 256, 1024, 4096]
GAPS = [0.25, 1, 4]  # seconds
WAITING = 256  # streams that have an event after each gap
CLIENTS = [OURS, UNBUFFERED, MERGE, "requests.iter_lines", "aiohttp"]
EVENTS_OF_AN_ANSWER = {
    count: ["burst", str(count), "290"] for count in (10**power for power in range(2, 7))
}
BYTES_OF_AN_EVENT = {
    size: ["burst", str(max(400, BYTES // size)), str(size)]
    for size in (50, 290, 1024, 4096, 16384, 65536)
}
# What is shown of a measurement.
FIGURES = {
    "cpu_us": "CPU per event, µs",
    "median_us": "latency, µs: median",
    "p99_us": "latency, µs: p99",
    "kib": "memory of a stream, KiB, with its thread if it has one",
    "start_us": "CPU of starting a request, µs",
}

Row = dict[str, "dict[str, float] | str"]


def paced(streams: int) -> list[str]:
    """Give what to measure of so many streams."""
    count = max(3, EVENTS // streams)
    return ["paced", str(streams), str(1 + count), str(RATE / streams), "0"]


def waiting(gap: float) -> list[str]:
    """Give what to measure of streams that have an event after each gap."""
    return ["paced", str(WAITING), str(1 + int(max(GAPS) // gap)), str(1 / gap), "0"]


def row(address: str, clients: list[str], words: list[str], chosen: argparse.Namespace) -> Row:
    """Measure every client in turn; give the medians, or why one failed."""
    taken: dict[str, list[dict[str, float]]] = {client: [] for client in clients}
    failed: dict[str, str] = {}
    for _ in range(chosen.rounds):
        for client in clients:
            if client in failed:
                continue
            try:
                taken[client].append(measure(client, address, words, source=chosen.source))
            except FailedError as error:
                failed[client] = str(error)
    return {client: failed.get(client) or medians(taken[client]) for client in clients}


def medians(found: list[dict[str, float]]) -> dict[str, float]:
    """Give the median of each figure."""
    figures = [figure for figure in FIGURES if figure in found[0]]
    return {figure: statistics.median(one[figure] for one in found) for figure in figures}


def table(what: str, figure: str, rows: dict[float, Row]) -> list[str]:
    """Show a figure as a table in Markdown."""
    clients = list(next(iter(rows.values())))
    lines = [f"{FIGURES[figure]}:", "", f"| {what} | {' | '.join(clients)} |"]
    lines.append("|---" * (1 + len(clients)) + "|")
    for number, found in rows.items():
        cells = []
        for client in clients:
            one = found[client]
            if isinstance(one, str):
                cells.append(f"fails: {one}")
            else:
                cells.append(shown(one[figure]) if figure in one else "")
        lines.append(f"| {number} | {' | '.join(cells)} |")
    return [*lines, ""]


def main() -> None:
    """Measure as the command line says."""
    parser = options("growth.py", __doc__, rounds=1)
    parser.add_argument("--streams", nargs="*", type=int, default=STREAMS)
    chosen = parser.parse_args()
    limits = ["floor", RECEIVER]
    # What grows: whose figures, which, and what is told for each number.
    series = {
        "events of an answer": ([OURS, MERGE, *limits], ["cpu_us"], EVENTS_OF_AN_ANSWER),
        "bytes of an event": ([OURS, MERGE, *limits], ["cpu_us"], BYTES_OF_AN_EVENT),
        "streams": ([*CLIENTS, *limits], list(FIGURES), {n: paced(n) for n in chosen.streams}),
        f"seconds between two events of one of {WAITING} streams": (
            CLIENTS,
            ["cpu_us"],
            {gap: waiting(gap) for gap in GAPS},
        ),
    }
    lines = [*headline(), ""]
    found: dict[str, dict[float, Row]] = {}
    with upstream() as address:
        for what, (names, figures, told) in series.items():
            clients = installed(names)
            found[what] = {
                number: row(address, clients, words, chosen) for number, words in told.items()
            }
            for figure in figures:
                lines += table(what, figure, found[what])
    print("\n".join([*lines, headline()[1]]))
    if chosen.json:
        result = {"about": lines[:3], "growth": found}
        Path(chosen.json).write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
