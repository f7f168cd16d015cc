"""Compare clients: ``python benchmarks/compare.py [--tls] [--json FILE] [--plot FILE]``.

One upstream in a process of its own; every measurement of every client in a process of its own,
started by the path of ``measure.py``, so that it is the installed package that is measured.  The
clients take turns, and each round measures all of them: what disturbs the machine for a while
disturbs everybody.  What is printed are medians over the rounds, and in brackets the median of how
many times ours they were in the same round.  How costs grow is measured by ``growth.py``.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from measure import RECEIVER
from processes import PURE, headline, installed, measure, options, run, upstream

if TYPE_CHECKING:
    import argparse

OURS, UNBUFFERED, MERGE = "inferd-engine", "inferd-engine, buffer=0", "inferd-engine, merge"
MESSAGES = "inferd-engine, Messages"
ASYNC = ["aiohttp", "httpx, async", "openai-python, async"]
PEERS = ["requests.iter_lines", "sseclient-py", "httpx-sse", "openai-python", *ASYNC]
CHATLAS = "chatlas"  # an event of which costs more the longer its answer is
CLIENTS = [OURS, UNBUFFERED, MERGE, *PEERS]
WITHOUT_TLS = ["floor", RECEIVER]
ON_REQUEST = ["langchain-openai", "litellm"]


class Measurement(NamedTuple):
    """What ``measure.py`` is told, which figures are shown, and whose."""

    about: str
    words: list[str]
    figures: dict[str, str]
    clients: list[str]


_LATENCY = {"median_us": "latency, µs: median", "p99_us": "p99"}
MEASUREMENTS = {
    "burst": Measurement(
        "20 000 events of 290 bytes, as fast as they come",
        ["burst", "20000", "290"],
        {"cpu_us": "CPU per event, µs"},
        [*CLIENTS, *WITHOUT_TLS, PURE],
    ),
    "short": Measurement(
        "1 000 events likewise, the request included",
        ["burst", "1000", "290"],
        {"cpu_us": "CPU per event, µs"},
        [OURS, "openai-python", CHATLAS],
    ),
    "messages": Measurement(
        "the same of Anthropic's Messages, beside one of Chat Completions",
        ["burst", "20000", "290"],
        {"cpu_us": "CPU per event, µs"},
        [OURS, MESSAGES, "anthropic"],
    ),
    "paced": Measurement(
        "64 streams, 50 events a second each, every one in its own segment",
        ["paced", "64", "75", "50", "0"],
        {"cpu_us": "CPU per event, µs", **_LATENCY},
        [*CLIENTS, CHATLAS, *WITHOUT_TLS],
    ),
    "latency": Measurement(
        "a stream of 500 events a second, and nothing else to do",
        ["paced", "1", "750", "500", "0"],
        _LATENCY,
        [*CLIENTS, "floor"],
    ),
    "busy": Measurement(
        "the same beside two threads that compute",
        ["paced", "1", "750", "500", "2"],
        _LATENCY,
        [*CLIENTS, "floor"],
    ),
    "first": Measurement(
        "from asking to the first token",
        ["first", "20"],
        {"fresh_us": "a client just made, µs", "warm_us": "a warm connection, µs"},
        CLIENTS,
    ),
    "held": Measurement(
        "256 open streams, in one thread",
        ["held", "256"],
        {"kib": "memory of one, KiB", "close_ms": "closing all, ms"},
        CLIENTS,
    ),
}
IMPORTS = {
    "inferd_engine": "import inferd_engine",
    "inferd_engine, to the first event": (
        "import inferd_engine\n"
        "backend = inferd_engine.OpenAiCompat(base_url=address, api_key='', model='burst:3:290')\n"
        "next(backend.stream('x'))"
    ),
    "requests": "import requests",
    "openai": "import openai",
}

# By measurement and client: what each round found.
Taken = dict[str, dict[str, list[dict[str, float]]]]


def compare(address: str, chosen: argparse.Namespace, clients: list[str]) -> Taken:
    """Take all measurements, in rounds."""
    taken: Taken = {name: {} for name in chosen.measure}
    for _ in range(chosen.rounds):
        done: dict[tuple[str, ...], dict[str, float]] = {}
        for name in chosen.measure:
            measurement = MEASUREMENTS[name]
            for client in clients:
                if client not in [*measurement.clients, *chosen.also]:
                    continue
                key = (client, *measurement.words)
                if key not in done:
                    done[key] = measure(client, address, measurement.words, source=chosen.source)
                taken[name].setdefault(client, []).append(done[key])
    return taken


def measure_imports(address: str, rounds: int) -> dict[str, float]:
    """Give how many milliseconds each import takes in a new interpreter: medians."""
    found: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for number in range(3 * rounds + 1):
        for name, code in IMPORTS.items():
            timed = (
                f"import time; begun = time.perf_counter(); address = {address!r}\n{code}\n"
                "print((time.perf_counter() - begun) * 1000, flush=True); import os; os._exit(0)"
            )
            took = float(run(["-c", timed]))
            if number:  # whatever is compiled or cached is so then
                found[name].append(took)
    return {name: statistics.median(values) for name, values in found.items()}


def median(found: list[dict[str, float]], figure: str) -> float:
    """Give the median of a figure over the rounds."""
    return statistics.median(one[figure] for one in found)


def ratio(found: list[dict[str, float]], ours: list[dict[str, float]], figure: str) -> float:
    """Give how many times ours a figure was, the median over the rounds."""
    pairs = zip(found, ours, strict=True)
    return statistics.median(theirs[figure] / max(mine[figure], 1e-9) for theirs, mine in pairs)


def shown(value: float) -> str:
    """Give a figure with three digits, and none after the point from a hundred on."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def table(measurement: Measurement, taken: dict[str, list[dict[str, float]]]) -> list[str]:
    """Show figures, and how many times ours they are, as a table in Markdown."""
    lines = [f"{measurement.about}:", ""]
    lines += [f"| client | {' | '.join(measurement.figures.values())} |"]
    lines += ["|---" * (1 + len(measurement.figures)) + "|"]
    for client, found in taken.items():
        cells = [
            f"{shown(median(found, figure))} ({shown(ratio(found, taken[OURS], figure))})"
            if figure in found[0]
            else ""
            for figure in measurement.figures
        ]
        lines.append(f"| {client} | {' | '.join(cells)} |")
    return [*lines, ""]


def plot(taken: Taken, path: str) -> None:
    """Draw how many times ours each client takes, one row of bars for each measurement."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(len(taken), 1, figsize=(8, 2.4 * len(taken)), squeeze=False)
    for axis, (name, found) in zip(axes[:, 0], taken.items(), strict=True):
        what = next(iter(MEASUREMENTS[name].figures))
        values = {client: ratio(one, found[OURS], what) for client, one in found.items()}
        axis.barh(list(values), list(values.values()), color="#4477aa")
        axis.set_xscale("log")
        axis.axvline(1, color="black", linewidth=0.8)
        axis.set_title(f"{name}: times ours", fontsize=9, loc="left")
        axis.tick_params(labelsize=8)
        axis.invert_yaxis()
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    """Compare as the command line says."""
    parser = options("compare.py", __doc__, rounds=3)
    parser.add_argument("--measure", nargs="*", choices=MEASUREMENTS, default=list(MEASUREMENTS))
    parser.add_argument("--also", nargs="*", choices=ON_REQUEST, default=[])
    parser.add_argument("--no-imports", action="store_true")
    parser.add_argument("--tls", action="store_true", help="over TLS (trustme)")
    parser.add_argument("--plot", metavar="FILE", help="a chart (matplotlib, the extra bench-plot)")
    chosen = parser.parse_args()
    names = [*CLIENTS, CHATLAS, MESSAGES, "anthropic", PURE, *chosen.also]
    clients = installed(names if chosen.tls else [*names, *WITHOUT_TLS])
    lines = [*headline(), ""]
    with upstream(tls=chosen.tls) as address:
        taken = compare(address, chosen, clients)
        imports = {} if chosen.no_imports else measure_imports(address, chosen.rounds)
    for name, found in taken.items():
        lines += table(MEASUREMENTS[name], found)
    lines += [f"import {name}: {took:.3g} ms" for name, took in imports.items()]
    print("\n".join([*lines, "", headline()[1]]))
    if chosen.json:
        result = {"about": lines[:3], "taken": taken, "imports_ms": imports}
        Path(chosen.json).write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    if chosen.plot:
        plot(taken, chosen.plot)


if __name__ == "__main__":
    main()
