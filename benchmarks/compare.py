"""Compare clients: ``python -m benchmarks.compare [--tls] [--json FILE] [--plot FILE]``.

One upstream in a process of its own; every measurement of every client in a process of its own,
started by the path of ``clients.py``, so that it is the installed package that is measured.  The
clients take turns, and each round measures all of them: what disturbs the machine for a while
disturbs everybody.  What is printed are medians over the rounds, and how many times ours they are.
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
OURS, PURE, HERE_TOO = "inferd-engine", "inferd-engine, pure", "inferd-engine, buffer=0"
PEERS = ["openai-python", "httpx-sse", "sseclient-py", "requests.iter_lines"]
MESSAGES, ANTHROPIC = "inferd-engine, Messages", "anthropic"
ON_REQUEST = ["langchain-openai", "litellm"]
PACKAGES = ["inferd_engine", "openai", "httpx", "httpx-sse", "sseclient-py", "requests", "urllib3",
            "msgspec", "anthropic", "langchain-openai", "litellm"]  # fmt: skip

# A measurement: its name, what is measured, its arguments, which figure of it is shown, whose.
MEASUREMENTS = {
    "burst": ("CPU per event, µs, 20 000 events of 290 bytes as fast as they come",
              ["burst", "20000", "290"], "cpu_us", [OURS, HERE_TOO, PURE, "floor", *PEERS]),
    "messages": ("the same of Anthropic's Messages, beside one of Chat Completions",
                 ["burst", "20000", "290"], "cpu_us", [OURS, MESSAGES, ANTHROPIC]),
    "paced": ("CPU per event, µs, 64 streams of 50 events a second, each in its own segment",
              ["paced", "64", "150", "50"], "cpu_us", [OURS, HERE_TOO, *PEERS]),
    "latency": ("from sending an event to having it, µs, median of 2 000",
                ["latency", "2000", "0.002", "0"], "median_us", [OURS, HERE_TOO, *PEERS]),
    "latency p99": ("the same, the slowest but 1 %",
                    ["latency", "2000", "0.002", "0"], "p99_us", [OURS, HERE_TOO, *PEERS]),
    "busy": ("the same beside two CPU-bound threads, median of 2 000",
             ["latency", "2000", "0.002", "2"], "median_us", [OURS, HERE_TOO, *PEERS]),
    "busy p99": ("the same, the slowest but 1 %",
                 ["latency", "2000", "0.002", "2"], "p99_us", [OURS, HERE_TOO, *PEERS]),
    "first": ("time to the first token with a client just made, µs",
              ["first", "50"], "fresh_us", [OURS, HERE_TOO, *PEERS]),
    "warm": ("time to the first token over a warm connection, µs",
             ["first", "50"], "warm_us", [OURS, HERE_TOO, *PEERS]),
    "memory": ("resident memory of an open stream, KiB, 256 of them",
               ["memory", "256"], "kib", [OURS, HERE_TOO, *PEERS]),
}  # fmt: skip
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
STREAMS = [["paced", str(streams), "150", "50"] for streams in (1, 4, 16, 64, 256)]
# Whose, and measured with what, from small to large.
GROWTH = {
    "events": (OURS, [["burst", str(10**power), "290"] for power in range(2, 7)]),
    "bytes of an event": (
        OURS,
        [
            ["burst", str(max(400, 6_000_000 // size)), str(size)]
            for size in (50, 290, 1024, 4096, 16384, 65536)
        ],
    ),
    "streams": (OURS, STREAMS),
    "streams, requests.iter_lines": ("requests.iter_lines", STREAMS),
}


def run(arguments: list[str], **environment: str) -> str:
    """Run Python in a process of its own, away from the source tree; give what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tempfile.gettempdir(),
        env={**os.environ, "OPENAI_API_KEY": "", **environment},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return done.stdout


def measure(client: str, address: str, arguments: list[str], *, source: bool) -> dict[str, Any]:
    """Measure one client once."""
    kind, *numbers = arguments
    environment = {"INFERD_ENGINE_NATIVE": "0"} if client == PURE else {}
    printed = run(
        [str(HERE / "clients.py"), client, kind, address, *numbers],
        **environment,
    )
    found = json.loads(printed)
    if "file" in found:
        wanted = "pure" if client == PURE else "native"
        if found["implementation"] != wanted:
            raise SystemExit(f"the {wanted} decoder is not there: install the package with it")
        if ROOT in Path(found["file"]).parents and not source:
            raise SystemExit(f"{found['file']} is the source tree: install the package, not -e")
    return found


def measure_imports(address: str) -> dict[str, float]:
    """Measure how many milliseconds each import takes in a new interpreter."""
    found = {}
    for name, code in IMPORTS.items():
        timed = (
            f"import time; begun = time.perf_counter(); address = {address!r}\n{code}\n"
            "print((time.perf_counter() - begun) * 1000, flush=True); import os; os._exit(0)"
        )
        found[name] = float(run(["-c", timed]))
    return found


def certify() -> str:
    """Let every client that is started trust a new authority; give a certificate of it."""
    import trustme

    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    authority, trusted, certificate = trustme.CA(), folder / "authority", folder / "certificate"
    authority.cert_pem.write_to_path(str(trusted))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    os.environ["REQUESTS_CA_BUNDLE"] = os.environ["SSL_CERT_FILE"] = str(trusted)
    return str(certificate)


def headline() -> list[str]:
    """Name the machine and what is measured."""
    processor = platform.processor() or platform.machine()
    lines = Path("/proc/cpuinfo")
    if lines.exists():
        names = [line for line in lines.read_text("utf-8").splitlines() if "model name" in line]
        processor = names[0].partition(": ")[2] if names else processor
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return [
        f"Python {platform.python_version()}, {platform.system()} {platform.release()}",
        f"{os.cpu_count()} × {processor}",
        ", ".join(versions),
    ]


def table(title: str, found: dict[str, float], base: str) -> list[str]:
    """Print figures and how many times the base's they are, as a table in Markdown."""
    lines = [f"{title}:", "", "| client | median | times ours |", "|---|---|---|"]
    lines += [
        f"| {name} | {value:.3g} | {value / found[base]:.2f} |" for name, value in found.items()
    ]
    return [*lines, ""]


def compare(address: str, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Take all measurements, in rounds; give their medians."""
    taken: dict[tuple[str, str], list[float]] = {}
    for number in range(options.rounds):
        done: dict[tuple[str, ...], dict[str, Any]] = {}
        for name in options.measure:
            _, arguments, figure, clients = MEASUREMENTS[name]
            for client in [*clients, *options.also]:
                key = (client, *arguments)
                if key not in done:
                    print(f"round {number + 1}: {name}, {client}", file=sys.stderr)
                    done[key] = measure(client, address, arguments, source=options.source)
                taken.setdefault((name, client), []).append(done[key][figure])
    found: dict[str, dict[str, float]] = {}
    for (name, client), values in taken.items():
        found.setdefault(name, {})[client] = statistics.median(values)
    return found


def compare_imports(address: str, rounds: int) -> dict[str, float]:
    """Measure imports, in rounds; give their medians."""
    measure_imports(address)  # whatever is compiled or cached is so now
    taken = [measure_imports(address) for _ in range(3 * rounds)]
    return {name: statistics.median(found[name] for found in taken) for name in IMPORTS}


def compare_growth(address: str, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Measure from small to large: ours, and beside the number of streams the bare loop too."""
    found: dict[str, dict[str, float]] = {}
    for what, (client, series) in GROWTH.items():
        for arguments in series:
            print(f"growth: {client} {' '.join(arguments)}", file=sys.stderr)
            values = [
                measure(client, address, arguments, source=options.source)["cpu_us"]
                for _ in range(options.rounds)
            ]
            label = arguments[2] if what.startswith("bytes") else arguments[1]
            found.setdefault(what, {})[label] = statistics.median(values)
    return found


def plot(found: dict[str, dict[str, float]], path: str) -> None:
    """Draw how many times ours each client takes, one row of bars for each measurement."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    names = [name for name in found if name in MEASUREMENTS]
    figure, axes = plt.subplots(len(names), 1, figsize=(8, 1.9 * len(names)), squeeze=False)
    for axis, name in zip(axes[:, 0], names, strict=True):
        values = {client: value / found[name][OURS] for client, value in found[name].items()}
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
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", nargs="*", choices=MEASUREMENTS, default=list(MEASUREMENTS))
    parser.add_argument("--also", nargs="*", choices=ON_REQUEST, default=[])
    parser.add_argument("--no-imports", action="store_true")
    parser.add_argument("--no-growth", action="store_true")
    parser.add_argument("--source", action="store_true", help="an editable install will do")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--plot", metavar="FILE", help="a chart (matplotlib, the extra bench-plot)")
    parser.add_argument("--tls", action="store_true", help="over TLS, without the floor (trustme)")
    options = parser.parse_args()
    certificate = []
    if options.tls:
        certificate = [certify()]
        for _, _, _, clients in MEASUREMENTS.values():
            clients[:] = [name for name in clients if name != "floor"]
    upstream = subprocess.Popen(
        [sys.executable, str(HERE / "upstream.py"), *certificate], stdout=subprocess.PIPE, text=True
    )
    try:
        address = upstream.stdout.readline().strip()
        lines = headline()
        found = compare(address, options)
        imports = {} if options.no_imports else compare_imports(address, options.rounds)
        growth = {} if options.no_growth else compare_growth(address, options)
    finally:
        upstream.kill()
        upstream.wait()
    lines.append("")
    for name, values in found.items():
        lines += table(f"{name}: {MEASUREMENTS[name][0]}", values, OURS)
    if imports:
        lines += table("import: ms", imports, "inferd_engine")
    for what, values in growth.items():
        lines += [f"growth with the {what}: CPU per event, µs:", ""]
        lines += ["| " + " | ".join(values) + " |", "|" + "---|" * len(values)]
        lines += ["| " + " | ".join(f"{value:.2f}" for value in values.values()) + " |", ""]
    print("\n".join(lines))
    if options.json:
        result = {"about": lines[:3], "medians": found, "imports_ms": imports, "growth": growth}
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    if options.plot:
        plot(found, options.plot)


if __name__ == "__main__":
    main()
