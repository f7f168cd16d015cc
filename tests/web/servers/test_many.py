"""Many silent answers in one process: all are told when their browsers leave."""

from __future__ import annotations

import time

import pytest
from web.servers.browsing import Tab
from web.servers.conftest import ViewServer

from inferd_engine.testing import Reply, Stall, Upstream, chunk

MANY = 200
SECONDS = 2.0  # a heartbeat, and what 200 threads need to say so


@pytest.mark.parametrize("name", ["gunicorn gthread", "django uvicorn", "fastapi uvicorn"])
def test_two_hundred_silent_streams(tmp_path, name):
    """200 open silent streams in one process are all told within two seconds."""
    with (
        Upstream(otherwise=lambda _: Reply([chunk("Hel"), Stall()])) as upstream,
        ViewServer(tmp_path / "server.log", name, upstream) as server,
    ):
        tabs = [Tab(server.port) for _ in range(MANY)]
        for tab in tabs:
            tab.read_until(b"Hel")
        assert len(upstream.requests) == MANY
        began = time.monotonic()
        for tab in tabs:
            tab.close()
        assert all(received.gone.wait(10) for received in upstream.requests)
        took = time.monotonic() - began
        assert took < SECONDS
        with Tab(server.port) as tab:
            tab.read_until(b"Hel")
