"""Hosts with several addresses: whichever answers is taken, and all of it can be ended."""

from __future__ import annotations

import contextlib
import errno
import socket
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from loopback.conftest import SOON, open_files

import inferd_engine as ie
from inferd_engine.net import dialing
from inferd_engine.net.deadlines import Deadlines
from inferd_engine.net.exchange import Exchange
from inferd_engine.testing import DONE, Pause, Reply, Upstream, chunk, text_reply

IN_TIME = 1.0  # seconds, at the most, until the second address is asked: it takes 0.25


class Hosts:
    """Names with addresses of the test's choice."""

    def __init__(self, monkeypatch):
        self._resolve = socket.getaddrinfo
        self._names = {}
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def _look_up(self, host, port, *rest, **named):
        if host not in self._names:
            return self._resolve(host, port, *rest, **named)
        return [self._address(*address) for address in self._names[host]]

    @staticmethod
    def _address(host, port):
        if ":" in host:
            return socket.AF_INET6, socket.SOCK_STREAM, 6, "", (host, port, 0, 0)
        return socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)

    def __setitem__(self, name, addresses):
        self._names[name] = addresses


@pytest.fixture
def hosts(monkeypatch):
    return Hosts(monkeypatch)


@pytest.fixture
def swallowing():
    """Give an address that neither accepts a connection nor refuses it."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # a backlog of 0 holds one or two; then SYNs are dropped
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        yield server.getsockname()


@pytest.fixture
def refusing():
    """Give an address that refuses connections."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return closed.getsockname()


@pytest.fixture(params=["beside each other", "in turn"])
def way(request, monkeypatch):
    """Connect with the interpreter's own sockets, and with those of somebody else."""
    if request.param == "in turn":
        connect = socket.socket.connect

        def theirs(self, address):
            connect(self, address)

        monkeypatch.setattr(socket.socket, "connect", theirs)
    return request.param


@pytest.mark.parametrize("before", [1, 2, 3])
def test_the_next_address_is_tried_in_time(ask, hosts, swallowing, way, before):
    """An address that swallows packets keeps nobody from the next one, however many there are."""
    backend = ask()
    hosts["host.example"] = [swallowing] * before + [("127.0.0.1", backend.upstream.port)]
    url = f"http://host.example:{backend.upstream.port}"
    begun = time.monotonic()
    with ie.OpenAiCompat(base_url=url, api_key="", connect_timeout=2.0) as other:
        assert other.complete("x").text
    took = time.monotonic() - begun
    assert took < (IN_TIME * before if way == "beside each other" else 2.0)
    assert backend.upstream.connections == 1


def test_a_slow_address_is_not_given_up(ask, hosts, swallowing, monkeypatch):
    """The first address may answer while later ones are being tried: it is taken."""
    monkeypatch.setattr(dialing, "DELAY", 0.05)
    backend = ask()
    port = backend.upstream.port
    hosts["host.example"] = [("127.0.0.1", port), swallowing, swallowing]
    with ie.OpenAiCompat(base_url=f"http://host.example:{port}", api_key="") as other:
        assert other.complete("x").text
    over = dialing._over
    looked = []

    def late(under_way, seconds):
        looked.append(len(under_way))
        return over(under_way, seconds) if len(under_way) == 3 else over([], seconds)

    monkeypatch.setattr(dialing, "_over", late)
    with ie.OpenAiCompat(base_url=f"http://host.example:{port}", api_key="") as other:
        assert other.complete("x").text
    assert looked[-1] == 3


def test_those_that_lose_are_dropped(ask, hosts, swallowing):
    """Of all attempts one connection is left: two descriptors, and those of its upstream's side."""
    backend = ask()
    assert backend.complete("x").text
    files = open_files()
    hosts["host.example"] = [swallowing] * 2 + [("127.0.0.1", backend.upstream.port)]
    url = f"http://host.example:{backend.upstream.port}"
    with ie.OpenAiCompat(base_url=url, api_key="") as other:
        assert other.complete("x").text
        assert open_files() <= files + 3


def test_all_refuse(hosts, refusing, way):
    """When every address has refused, the call fails at once and says so."""
    hosts["host.example"] = [refusing] * 4
    with ie.OpenAiCompat(base_url=f"http://host.example:{refusing[1]}", api_key="") as backend:
        with pytest.raises(ie.TransportError, match="nothing listens") as caught:
            backend.complete("x")
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


@pytest.mark.parametrize(
    "dull", [errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, None]
)
def test_what_is_told_is_what_helps(dull):
    """An address to which there is no way at all does not hide what befell the others."""
    nowhere = OSError(dull, "no way") if dull else TimeoutError("its share of the time is up")
    refused = OSError(errno.ECONNREFUSED, "Connection refused")
    assert dialing._most_telling([nowhere, refused, nowhere]) is refused
    assert dialing._most_telling([refused, nowhere]) is refused
    assert dialing._most_telling([nowhere]) is nowhere


def test_a_name_without_addresses(hosts):
    """A name that is known and has no address is said to have none."""
    hosts["host.example"] = []
    with ie.OpenAiCompat(base_url="http://host.example", api_key="") as backend:
        with pytest.raises(ie.TransportError, match="no address"):
            backend.complete("x")


def test_one_refuses_and_one_swallows(hosts, refusing, swallowing, way):
    """Together they have connect_timeout, whatever the one does."""
    hosts["host.example"] = [refusing, swallowing, refusing]
    begun = time.monotonic()
    with ie.OpenAiCompat(
        base_url=f"http://host.example:{refusing[1]}", api_key="", connect_timeout=0.6
    ) as backend:
        if way == "in turn":
            with pytest.raises(ie.TransportError, match="nothing listens"):
                backend.complete("x")
        else:
            with pytest.raises(ie.DeadlineError) as caught:
                backend.complete("x")
            assert caught.value.phase == "connect"
    assert time.monotonic() - begun < SOON / 2


@pytest.mark.parametrize("how", ["token", "stop", "timeout"])
def test_all_attempts_can_be_ended(hosts, swallowing, how, way):
    """A cancel and a deadline end every attempt at once, whichever was begun last."""
    hosts["host.example"] = [swallowing] * 8
    settings = {"base_url": f"http://host.example:{swallowing[1]}", "api_key": ""}
    token, results = ie.CancelToken(), []
    with ie.OpenAiCompat(**settings, timeout=0.8 if how == "timeout" else None) as backend:

        def call():
            try:
                backend.complete("x", cancel=token)
            except ie.GenerateError as error:
                results.append(error)

        files = open_files()
        thread = threading.Thread(target=call)
        thread.start()
        time.sleep(0.6)  # some attempts are under way
        assert thread.is_alive()
        assert open_files() >= files + 2
        begun = time.monotonic()
        if how == "token":
            token.cancel()
        elif how == "stop":
            backend.stop()
        thread.join(SOON)
        assert time.monotonic() - begun < 1.0
        kind = ie.DeadlineError if how == "timeout" else ie.RequestCancelledError
        assert [type(error) for error in results] == [kind]
        assert open_files() <= files


def test_families_take_turns():
    """The resolver's first family begins; then each has its turn, in the resolver's order."""
    six = [(socket.AF_INET6, 1, 6, "", (f"::{n}", 1)) for n in range(3)]
    four = [(socket.AF_INET, 1, 6, "", (f"10.0.0.{n}", 1)) for n in range(2)]
    assert [*dialing._interleaved([*six, *four])] == [six[0], four[0], six[1], four[1], six[2]]
    assert [*dialing._interleaved([*four, *six])] == [four[0], six[0], four[1], six[1], six[2]]
    assert [*dialing._interleaved([])] == []


def test_only_the_families_that_urllib3_is_allowed(ask, monkeypatch):
    """The usual way to do without IPv6 works here too, and is not needed."""
    import urllib3.util.connection

    families, resolve = [], socket.getaddrinfo

    def look_up(host, port, family=0, *rest):
        families.append(family)
        return resolve(host, port, family, *rest)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(urllib3.util.connection, "allowed_gai_family", lambda: socket.AF_INET)
    assert ask().complete("x").text
    monkeypatch.delattr(urllib3.util.connection, "allowed_gai_family")
    assert ask().complete("x").text
    assert families == [socket.AF_INET, 0]


def test_a_cancelled_exchange_begins_nothing(swallowing):
    """Who was ended before it began opens no socket."""
    exchange = Exchange(Deadlines())
    exchange.cancel()
    files = open_files()
    with pytest.raises(ConnectionAbortedError):
        dialing.dial(exchange, [Hosts._address(*swallowing)], ())
    assert open_files() == files


def test_options_that_are_refused(swallowing):
    """A socket option that cannot be set fails the attempt, and nothing stays open."""
    exchange = Exchange(Deadlines())
    files = open_files()
    with pytest.raises(OSError, match=r".") as caught:
        dialing.dial(exchange, [Hosts._address(*swallowing)], [(socket.SOL_SOCKET, 9999, 1)])
    assert caught.value.errno == errno.ENOPROTOOPT
    assert open_files() == files
    assert exchange.take_handle() is None


GREEN = """
    import socket, sys, warnings
    warnings.simplefilter("ignore")
    if sys.argv[1] == "gevent":
        from gevent import monkey
        monkey.patch_all()
    else:
        import eventlet
        eventlet.monkey_patch()
    resolve = socket.getaddrinfo

    def look_up(host, port, *rest, **named):
        if host == "localhost":
            addresses = [("127.0.0.1", int(sys.argv[4])), ("127.0.0.1", port)]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", one) for one in addresses]
        return resolve(host, port, *rest, **named)

    socket.getaddrinfo = look_up
    import inferd_engine as ie
    from inferd_engine.net import deadlines, response
    deadlines.SLICE = response.SLICE = 0.05
    backend = ie.OpenAiCompat(
        base_url=sys.argv[2], api_key="", verify=sys.argv[3], connect_timeout=2.0, buffer=0
    )
    print(backend.complete("x").text, backend.complete("x").text)
    backend.stop()
"""


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("kind", ["gevent", "eventlet"])
def test_green_sockets(authority, swallowing, kind, tls):
    """Over green sockets, too, the next address is tried, and what is late is waited for."""
    pytest.importorskip(kind)
    context, trusted = authority
    steps = [Pause(0.3), chunk("a"), Pause(0.3), chunk("b", finish_reason="stop"), DONE]
    reply = Reply(steps, before=[Pause(0.3)])
    with Upstream(reply, text_reply("c"), ssl_context=context if tls else None) as upstream:
        url = f"http{'s' if tls else ''}://localhost:{upstream.port}"
        ran = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(GREEN), kind, url, trusted, str(swallowing[1])],
            capture_output=True,
            text=True,
            timeout=SOON * 3,
            check=False,
        )
        assert (ran.stdout, ran.returncode) == ("ab c\n", 0), ran.stderr
        assert upstream.connections == 1
