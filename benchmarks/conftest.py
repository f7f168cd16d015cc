"""Print what was measured as ratios: a single time says little on a shared machine."""

from __future__ import annotations

import platform
from importlib import metadata

import inferd_engine.wire.sse

BASE = "native"
PEERS = ("sseclient-py", "httpx-sse", "openai", "msgspec", "requests", "urllib3")


def _version(name: str) -> str:
    try:
        return f"{name} {metadata.version(name)}"
    except metadata.PackageNotFoundError:
        return f"{name} -"


def pytest_report_header() -> list[str]:
    """Name what is measured."""
    return [
        f"Python {platform.python_version()}, {platform.machine()}",
        f"decoder {inferd_engine.wire.sse.IMPLEMENTATION} of {inferd_engine.wire.sse.__file__}",
        ", ".join(_version(name) for name in PEERS),
    ]


def pytest_terminal_summary(terminalreporter, config) -> None:
    """Print a table for each group: the median, and how many times that of ours it is."""
    session = getattr(config, "_benchmarksession", None)
    groups: dict[str, dict[str, tuple[float, int, str]]] = {}
    for bench in session.benchmarks if session else ():
        if bench.stats.data:
            count, of = bench.extra_info.get("events", 1), bench.extra_info.get("of", "event")
            groups.setdefault(bench.group, {})[bench.name] = (bench.stats.median, count, of)
    for group, measured in groups.items():
        base = measured.get(BASE, next(iter(measured.values())))[0]
        terminalreporter.section(group)
        for name, (median, count, of) in measured.items():
            terminalreporter.write_line(
                f"{name:<16}{median / count * 1e6:9.3f} µs/{of}{median / base:8.1f} ×"
            )
