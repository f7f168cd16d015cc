"""What is measured is what is said: every client reads a small answer rightly, in a process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from measure import CLIENTS
from receiver import receive

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
FIGURES = {
    "burst": {"cpu_us", "wall_us"},
    "paced": {"cpu_us", "median_us", "p99_us", "kib", "start_us"},
    "first": {"fresh_us", "warm_us"},
    "held": {"kib", "close_ms"},
}
ABOUT_US = {"implementation", "file"}
# One client of each way of reading.
WAYS = ["inferd-engine", "inferd-engine, merge", "httpx, async"]


@pytest.fixture(scope="module")
def address():
    """The address of an upstream in a process of its own."""
    program = [sys.executable, str(BENCHMARKS / "upstream.py")]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().strip()
        process.kill()


def measure(client, *words):
    """Measure a client as the comparison does; skip one that is not here."""
    if missing := CLIENTS[client].missing():
        pytest.skip(f"{missing} is not installed")
    program = [sys.executable, "-W", "ignore", str(BENCHMARKS / "measure.py")]
    ran = subprocess.run([*program, client, *words], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return {name for name in json.loads(ran.stdout) if name not in ABOUT_US}


@pytest.mark.parametrize("client", CLIENTS)
def test_every_client_counts_the_events_of_an_answer(client, address):
    """What came is counted against what was sent, where it is measured."""
    assert measure(client, "burst", address, "7", "290") == FIGURES["burst"]


@pytest.mark.parametrize("client", [*WAYS, "requests.iter_lines", "floor"])
def test_every_way_of_reading_reads_many_answers_at_once(client, address):
    """So it is beside threads that compute."""
    assert measure(client, "paced", address, "3", "4", "200", "1") == FIGURES["paced"]


@pytest.mark.parametrize("client", WAYS)
@pytest.mark.parametrize("kind", ["first", "held"])
def test_every_way_of_reading_begins_and_closes_answers(client, kind, address):
    """The rest of an answer is not waited for when it is closed."""
    assert measure(client, kind, address, "2") == FIGURES[kind]


@pytest.mark.parametrize("read", [3, 65536])
@pytest.mark.parametrize("model", ["burst:500:290", "paced:3:100:2"])
def test_the_native_program_counts_the_events_of_its_answers(model, read, address):
    """Whatever reads they come in: none is lost, and none is counted twice."""
    if missing := CLIENTS["receiver.c"].missing():
        pytest.skip(f"{missing} is not here")
    streams, count = 2, int(model.split(":")[1])
    found = receive(address, model, streams, streams * count, read)
    assert found["events"] == streams * count
