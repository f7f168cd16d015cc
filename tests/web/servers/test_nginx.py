"""nginx in front, as Debian sets it up: it buffers what does not ask it to let go."""

from __future__ import annotations

import shutil

import pytest
from server_process import ServerProcess
from web.servers.browsing import Tab
from web.servers.conftest import ViewServer
from web.servers.test_leaving import FLOWING, SILENT, SLACK, seconds_until_told

from inferd_engine.testing import DONE, Gate, Pause, Reply, Stall, Upstream, chunk

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
if NGINX is None:
    pytest.skip("there is no nginx here", allow_module_level=True)

CONFIGURATION = """
daemon off;
user root;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    gzip on;
    gzip_proxied any;
    gzip_types *;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass {behind}; }}
    }}
}}
"""


class Nginx(ServerProcess):
    """nginx with its default buffering, in front of a server."""

    ready_path = "/ready"

    def __init__(self, folder, behind):
        super().__init__(folder / "nginx.log")
        self._configuration = folder / "nginx.conf"
        self._configuration.write_text(
            CONFIGURATION.format(folder=folder, port=self.port, behind=behind)
        )

    def command(self):
        """Give the program and its arguments."""
        return [NGINX, "-c", self._configuration, "-p", self._configuration.parent, "-e", "stderr"]


@pytest.fixture(scope="module", params=["gunicorn gthread", "waitress", "django uvicorn"])
def proxied(request, tmp_path_factory):
    """Nginx in front of a server; the upstream behind it is its attribute."""
    folder = tmp_path_factory.mktemp("nginx")
    with (
        Upstream() as upstream,
        ViewServer(folder / "server.log", request.param, upstream) as server,
        Nginx(folder, server.url) as nginx,
    ):
        nginx.upstream = upstream
        yield nginx


def test_nothing_is_buffered(proxied):
    """Each frame comes through by itself, and nothing is compressed."""
    gates = [Gate() for _ in range(3)]
    steps = [step for n, gate in enumerate(gates) for step in (chunk(f"word{n}"), gate)]
    proxied.upstream.enqueue(Reply([*steps, chunk(finish_reason="stop"), DONE]))
    with Tab(proxied.port) as tab:
        for number, gate in enumerate(gates):
            tab.read_until(b"word%d" % number)
            gate.open()
        tab.read_until(b'"done"')
    assert b"gzip" not in tab.seen.lower()


@pytest.mark.parametrize(
    ("steps", "seconds"),
    [
        ([step for _ in range(400) for step in (chunk("word "), Pause(0.05))], FLOWING),
        ([chunk("word "), Stall()], SILENT),
    ],
    ids=["tokens flow", "silence"],
)
def test_leaving(proxied, steps, seconds):
    """Nginx passes on that the browser has gone."""
    proxied.upstream.enqueue(Reply(steps))
    tab = Tab(proxied.port)
    tab.read_until(b"word")
    assert seconds_until_told(proxied.upstream, tab.close) < seconds + SLACK
