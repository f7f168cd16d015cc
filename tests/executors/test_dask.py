"""Dask's cluster of two workers asks: one is killed, and its prompts are answered by the other."""

from __future__ import annotations

import os
import signal

import pytest
from distributed import Client, LocalCluster

import inferd_engine as ie

pytestmark = pytest.mark.filterwarnings("default")  # what Dask warns of is its own


@pytest.fixture(scope="module")
def client():
    """Start a cluster of two processes."""
    with LocalCluster(
        n_workers=2, threads_per_worker=4, dashboard_address=None, memory_limit=None
    ) as cluster:
        with Client(cluster) as client:
            yield client


def test_a_cluster_answers(client, backend, upstream):
    """Each prompt is answered once, those that are alike too, over connections that are kept."""
    prompts = [f"p{number // 2}" for number in range(100)]
    results = list(backend.map(prompts, executor=client.get_executor(), ordered=True))
    assert [result.completion.text for result in results] == [f"You said: {p}" for p in prompts]
    assert len(upstream.requests) == 100
    assert upstream.connections <= 8


def test_errors_come_back(client):
    """What failed there is a result here, and asked again from here."""
    mock = ie.Mock(answers=[ie.HttpStatusError("busy", status=503)])
    executor = client.get_executor()
    (result,) = mock.map(["x"], executor=executor, retry=ie.Retry(attempts=3, max_wait=0.1))
    assert (result.error.status, result.attempts) == (503, 3)


def test_a_worker_is_killed(client, backend, tmp_path):
    """Its prompts are answered by others; the journal has each once."""
    workers = list(client.run(os.getpid).values())
    journal = tmp_path / "answers.jsonl"
    seen = set()
    for result in backend.map(
        (f"p{number}" for number in range(200)), executor=client.get_executor(), journal=journal
    ):
        assert result.error is None
        assert result.completion.text == f"You said: p{result.index}"
        seen.add(result.index)
        if len(seen) == 50:
            os.kill(workers[0], signal.SIGKILL)
    assert seen == set(range(200))
    assert journal.read_bytes().count(b"\n") == 200
