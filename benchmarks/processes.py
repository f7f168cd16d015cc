"""The upstream, and every measurement, in a process of its own, away from the source tree."""

from __future__ import annotations

import argparse
import atexit
import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measure import CLIENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
PURE = "inferd-engine, pure"
PATIENCE = 60  # seconds that a measurement may take; most take two
PACKAGES = [
    *("inferd_engine", "requests", "urllib3", "msgspec", "sseclient-py", "httpx", "httpx-sse"),
    *("openai", "anthropic", "chatlas", "aiohttp", "langchain-openai", "litellm"),
]


class FailedError(Exception):
    """A measurement failed."""


def run(words: list[str], **environment: str) -> str:
    """Run Python in a process of its own; give what it printed."""
    try:
        return subprocess.run(
            [sys.executable, *words],
            cwd=tempfile.gettempdir(),
            env={**os.environ, "OPENAI_API_KEY": "", **environment},
            capture_output=True,
            timeout=PATIENCE,
            check=True,
            text=True,
        ).stdout
    except subprocess.CalledProcessError as error:
        raise FailedError(error.stderr.strip().rpartition("\n")[2]) from None
    except subprocess.TimeoutExpired:
        raise FailedError(f"takes longer than {PATIENCE} s") from None


def measure(client: str, address: str, words: list[str], *, source: bool) -> dict[str, Any]:
    """Measure one client once."""
    print(client, *words, file=sys.stderr)
    kind, *numbers = words
    environment = {"INFERD_ENGINE_NATIVE": "0"} if client == PURE else {}
    printed = run([str(HERE / "measure.py"), client, kind, address, *numbers], **environment)
    found: dict[str, Any] = json.loads(printed)
    if "file" in found:
        wanted = "pure" if client == PURE else "native"
        if found["implementation"] != wanted:
            raise SystemExit(f"the {wanted} decoder is not there: install the package with it")
        if HERE.parent in Path(found["file"]).parents and not source:
            raise SystemExit(f"{found['file']} is the source tree: install the package, not -e")
    return found


def installed(names: list[str]) -> list[str]:
    """Give the clients that can be measured here; tell of the others."""
    for name in names:
        if missing := CLIENTS[name].missing():
            print(f"left out: {name} ({missing} is not there)", file=sys.stderr)
    return [name for name in names if not CLIENTS[name].missing()]


@contextlib.contextmanager
def upstream(*, tls: bool = False) -> Iterator[str]:
    """Start an upstream; give its address."""
    words = [sys.executable, str(HERE / "upstream.py"), *([certify()] if tls else [])]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


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
    """Name the machine, its load, and what is measured."""
    processor = platform.processor() or platform.machine()
    lines = Path("/proc/cpuinfo")
    if lines.exists():
        names = [line for line in lines.read_text("utf-8").splitlines() if "model name" in line]
        processor = names[0].partition(": ")[2] if names else processor
    versions = []
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions.append(f"{package} {metadata.version(package)}")
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return [
        f"Python {platform.python_version()}, {platform.system()} {platform.release()}",
        f"{os.cpu_count()} × {processor}{load}",
        ", ".join(versions),
    ]


def options(program: str, about: str | None, rounds: int) -> argparse.ArgumentParser:
    """Give what every comparison is told on its command line."""
    parser = argparse.ArgumentParser(prog=f"python benchmarks/{program}", description=about)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--source", action="store_true", help="an editable install will do")
    parser.add_argument("--json", metavar="FILE")
    return parser
