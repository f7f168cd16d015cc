"""Mocks, recorders and patched sessions: what they intercept does not go out, whoever they are."""

from __future__ import annotations

import contextlib
import functools
import ssl
import subprocess
import sys
import textwrap
from unittest import mock

import pytest
import requests
import requests.adapters
import urllib3.connectionpool
import urllib3.util.ssl_
from loopback.conftest import SOON

import inferd_engine as ie
from inferd_engine.net.pool import OwningAdapter
from inferd_engine.testing import DONE, Reply, Stall, Upstream, chunk, text_reply

KEY = "sk-real-0123456789"
SSE = chunk("mocked") + chunk(finish_reason="stop") + DONE
STREAM = "text/event-stream"


@contextlib.contextmanager
def by_responses(url):
    responses = pytest.importorskip("responses")
    with responses.RequestsMock() as mocked:
        mocked.add("POST", url, body=SSE, content_type=STREAM)
        yield


@contextlib.contextmanager
def by_requests_mock(url):
    requests_mock = pytest.importorskip("requests_mock")
    with requests_mock.Mocker() as mocked:
        mocked.post(url, content=SSE, headers={"Content-Type": STREAM})
        yield
        assert mocked.request_history[0].headers["Authorization"] == f"Bearer {KEY}"


@contextlib.contextmanager
def by_pook(url):
    pook = pytest.importorskip("pook")
    with pook.use():
        pook.post(url).reply(200).headers({"Content-Type": STREAM}).body(SSE)
        yield


def mocked_answer():
    """Give what a program might make by hand: an answer of requests with a body."""
    answer = requests.Response()
    answer.status_code = 200
    answer.headers["Content-Type"] = STREAM
    answer._content = SSE
    answer._content_consumed = True
    return answer


def patched(target, name):
    """Let something of requests' give an answer that was made by hand."""

    @contextlib.contextmanager
    def by_patching(_):
        with mock.patch.object(target, name, return_value=mocked_answer()) as replaced:
            yield
        assert replaced.call_count == 1

    return by_patching


INTERCEPTORS = {
    "responses": by_responses,
    "requests-mock": by_requests_mock,
    "pook": by_pook,
    "Session.send": patched(requests.Session, "send"),
    "Session.request": patched(requests.Session, "request"),
    "requests.post": patched(requests, "post"),
    "requests.request": patched(requests, "request"),
    "HTTPAdapter.send": patched(requests.adapters.HTTPAdapter, "send"),
}


@pytest.fixture(params=["made before", "used before", "made inside"])
def ask_mocked(request):
    """Ask a backend that was made before, has a connection already, or is made only then."""
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(Upstream(otherwise=lambda _: text_reply("real")))

        def make():
            settings = {"base_url": upstream.url, "api_key": KEY, "timeout": 10.0}
            return stack.enter_context(ie.OpenAiCompat(**settings))

        backend = None if request.param == "made inside" else make()
        if request.param == "used before":
            assert backend.complete("x").text == "real"

        def ask(interceptor):
            nonlocal backend
            before = len(upstream.requests)
            with interceptor(upstream.url + "/v1/chat/completions"):
                backend = backend or make()
                text = backend.complete("x").text
            assert len(upstream.requests) == before
            return text

        yield ask
        # Afterwards all is as before: connections of ours, one for all calls.
        for _ in range(2):
            assert backend.complete("x").text == "real"
        (adapter,) = backend._transport._adapters.values()
        assert isinstance(adapter, OwningAdapter)
        assert upstream.connections == 1


@pytest.mark.parametrize("name", INTERCEPTORS)
def test_nothing_goes_out(ask_mocked, name):
    """What was replaced answers, whenever the backend was made."""
    assert ask_mocked(INTERCEPTORS[name]) == "mocked"


FORBIDDEN = [
    (requests.Session, "send"),
    (requests.Session, "get_adapter"),
    (requests.Session, "request"),
    (requests, "Session"),
    (requests, "request"),
    (requests, "post"),
    (requests.adapters.HTTPAdapter, "send"),
    (urllib3.connectionpool.HTTPConnectionPool, "urlopen"),
]


@pytest.mark.parametrize(("target", "name"), FORBIDDEN)
def test_what_forbids_the_network_is_heard(ask, monkeypatch, target, name):
    """A patch that raises is heard as it is, and nothing goes out."""
    backend = ask()
    forbidden = mock.Mock(side_effect=AssertionError("no network here"))
    monkeypatch.setattr(target, name, forbidden)
    with pytest.raises(AssertionError, match="no network here"):
        backend.complete("x")
    assert backend.upstream.requests == []


def test_a_host_that_a_mock_does_not_know(ask):
    """A mock's own refusal is heard as it is."""
    requests_mock = pytest.importorskip("requests_mock")
    backend = ask()
    with requests_mock.Mocker():
        with pytest.raises(Exception, match="No mock address"):
            backend.complete("x")
    assert backend.upstream.requests == []


def test_a_mock_that_lets_it_through(ask):
    """With real_http the request goes out, and its answer comes as it is."""
    requests_mock = pytest.importorskip("requests_mock")
    backend = ask(otherwise=lambda _: text_reply("real"), api_key=KEY)
    with requests_mock.Mocker(real_http=True):
        assert backend.complete("x").text == "real"
    (received,) = backend.upstream.requests
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert "cookie" not in received.headers


@pytest.mark.parametrize("target", [(requests.Session, "send"), (requests, "post")])
def test_a_spy_sends_what_we_would(ask, monkeypatch, target):
    """A patch that only looks on changes nothing: no proxy of the environment, no redirect."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    backend = ask(otherwise=lambda _: text_reply("real"), proxies={}, headers={"X-A": "b"})
    with mock.patch.object(*target, autospec=True, side_effect=getattr(*target)) as spy:
        assert backend.complete("x").text == "real"
    assert spy.call_count == 1
    (received,) = backend.upstream.requests
    assert received.headers["x-a"] == "b"
    assert received.headers["accept"] == "text/event-stream, application/json"
    assert (
        "accept-encoding" not in received.headers
        or "gzip" not in received.headers["accept-encoding"]
    )


def test_redirects_are_refused_there_too(ask):
    """Going the public way follows no redirect."""
    elsewhere = ask(text_reply("stolen"))
    location = {"Location": elsewhere.upstream.url + "/v1/chat/completions"}
    backend = ask(Reply([b""], 307, location, framing="length"), api_key=KEY)
    with mock.patch.object(
        requests.Session, "send", autospec=True, side_effect=requests.Session.send
    ):
        with pytest.raises(ie.HttpStatusError, match="redirect"):
            backend.complete("x")
    assert elsewhere.upstream.requests == []


def test_a_stream_is_a_stream_there_too(ask):
    """Through a spy, text comes as it comes, and close() is heard."""
    backend = ask(Reply([chunk("a"), Stall()]), timeout=2.0)
    with mock.patch.object(
        requests.Session, "send", autospec=True, side_effect=requests.Session.send
    ):
        stream = backend.stream("x")
    assert next(stream).delta == "a"
    with pytest.raises(ie.DeadlineError):
        next(stream)


def test_tracing_is_no_interception(ask, monkeypatch):
    """A wrapper that passes for what it wraps takes nothing away: not even cancelling."""
    send = requests.Session.send

    @functools.wraps(send)
    def traced(self, request, **settings):
        return send(self, request, **settings)

    monkeypatch.setattr(requests.Session, "send", traced)
    backend = ask(Reply([chunk("a"), Stall()]))
    with backend.stream("x") as stream:
        next(stream)
    assert backend.upstream.requests[0].gone.wait(SOON)


# --- recorders -----------------------------------------------------------------------------------


def recorder(folder, **settings):
    vcr = pytest.importorskip("vcr")
    return vcr.VCR(cassette_library_dir=str(folder), filter_headers=["authorization"], **settings)


@pytest.mark.parametrize("way", ["http", "https"])
@pytest.mark.parametrize("framing", ["chunked", "length", "close", "gzip"])
@pytest.mark.parametrize("made", ["before", "inside"])
def test_vcr(ask_by, tmp_path, way, framing, made):
    """What vcrpy has recorded it plays, without a word to the upstream, and without the key."""
    import gzip

    data = chunk("re") + chunk("corded") + chunk(finish_reason="stop") + DONE
    if framing == "gzip":
        reply = Reply([gzip.compress(data)], headers={"Content-Encoding": "gzip"})
    else:
        reply = Reply([data], framing=framing)
    backend = ask_by(way, reply, reply, text_reply("real"), api_key=KEY)
    fresh = lambda: backend if made == "before" else backend.with_options(timeout=15.0)  # noqa: E731
    if made == "before":
        assert backend.complete("x").text == "recorded"
    with recorder(tmp_path).use_cassette("it.yaml"):
        assert fresh().complete("x").text == "recorded"
    asked = len(backend.upstream.requests)
    for _ in range(2):
        with recorder(tmp_path).use_cassette("it.yaml", record_mode="none") as cassette:
            assert fresh().complete("x").text == "recorded"
            assert cassette.play_count == 1
    assert len(backend.upstream.requests) == asked
    assert KEY not in (tmp_path / "it.yaml").read_text()
    if made == "before":
        assert backend.complete("x").text == "real"


def test_vcr_writes_no_key(ask, tmp_path):
    """A key is sent while vcrpy records, and written nowhere, though nobody has filtered it."""
    vcr = pytest.importorskip("vcr")
    backend = ask(text_reply("recorded"), api_key=KEY, headers={"X-Secret": "canary-canary"})
    with vcr.use_cassette(str(tmp_path / "it.yaml")):
        assert backend.complete("x").text == "recorded"
    sent = backend.upstream.requests[0].headers
    assert (sent["authorization"], sent["x-secret"]) == (f"Bearer {KEY}", "canary-canary")
    written = (tmp_path / "it.yaml").read_text("utf-8")
    assert "'***'" in written
    assert KEY not in written
    assert "canary" not in written
    with vcr.use_cassette(str(tmp_path / "it.yaml"), record_mode="none"):
        assert backend.complete("x").text == "recorded"
    assert len(backend.upstream.requests) == 1


def test_vcr_refuses_what_it_does_not_know(ask, tmp_path):
    """A request that no cassette holds does not go out."""
    backend = ask(otherwise=lambda _: text_reply("real"))
    with recorder(tmp_path).use_cassette("none.yaml", record_mode="none"):
        with pytest.raises(Exception, match="assette"):
            backend.complete("x")
    assert backend.upstream.requests == []


def test_vcr_records_errors(ask, tmp_path):
    """A refusal is recorded and played as such."""
    from inferd_engine.testing import error_reply

    backend = ask(error_reply(429, "slow down", headers={"Retry-After": "7"}))
    for mode in ("once", "none"):
        with recorder(tmp_path).use_cassette("no.yaml", record_mode=mode):
            with pytest.raises(ie.HttpStatusError, match="slow down") as caught:
                backend.complete("x")
        assert caught.value.retry_after == 7.0
    assert len(backend.upstream.requests) == 1


RECORDED_TEST = """
    import os
    import inferd_engine as ie
    import pytest

    @pytest.fixture(scope="module")
    def vcr_config():
        return {"filter_headers": ["authorization"]}

    @pytest.mark.vcr
    def test_it():
        with ie.OpenAiCompat(base_url=os.environ["UPSTREAM"], api_key="sk-secret") as backend:
            assert backend.complete("x").text == "real"

    @pytest.mark.block_network
    def test_the_network_is_off():
        with ie.OpenAiCompat(base_url=os.environ["UPSTREAM"], api_key="sk-secret") as backend:
            with pytest.raises(RuntimeError, match="Network is disabled"):
                backend.complete("x")
"""


def test_pytest_recording(tmp_path, monkeypatch):
    """A test is recorded once, and passes without an upstream from then on."""
    pytest.importorskip("pytest_recording")
    (tmp_path / "test_it.py").write_text(textwrap.dedent(RECORDED_TEST))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)

    def run(*options):
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=SOON * 4, check=False
        )

    with Upstream(otherwise=lambda _: text_reply("real")) as upstream:
        monkeypatch.setenv("UPSTREAM", upstream.url)
        recorded = run("--record-mode=once")
        assert recorded.returncode == 0, recorded.stdout
        assert len(upstream.requests) == 1
    (cassette,) = (tmp_path / "cassettes").rglob("*.yaml")
    assert "sk-secret" not in cassette.read_text()
    replayed = run("--block-network")
    assert replayed.returncode == 0, replayed.stdout


HTTPRETTY = """
    import sys, warnings
    warnings.simplefilter("ignore")
    import httpretty
    import inferd_engine as ie
    from inferd_engine.testing import DONE, Upstream, chunk, text_reply

    body = chunk("mocked") + chunk(finish_reason="stop") + DONE
    with Upstream(otherwise=lambda _: text_reply("real")) as upstream:
        backend = ie.OpenAiCompat(base_url=upstream.url, api_key="sk-real-0123456789", timeout=10.0)
        if sys.argv[1] == "before":
            assert backend.complete("x").text == "real"
        asked = len(upstream.requests)
        url = upstream.url + "/v1/chat/completions"
        with httpretty.enabled(allow_net_connect=sys.argv[2] == "open"):
            httpretty.register_uri("POST", url, body=body, content_type="text/event-stream")
            try:
                print(backend.complete("x").text)
            except Exception as error:
                print(type(error).__name__)
        assert len(upstream.requests) == asked
        assert backend.complete("x").text == "real"
        backend.stop()
"""


@pytest.mark.parametrize("made", ["before", "inside"])
@pytest.mark.parametrize(("network", "answer"), [("open", "mocked"), ("closed", "UnmockedError")])
def test_httpretty(made, network, answer):
    """HTTPretty answers; where it lets nobody have a socket, urllib3 does not get along with it."""
    pytest.importorskip("httpretty")
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(HTTPRETTY), made, network],
        capture_output=True,
        text=True,
        timeout=SOON * 3,
        check=False,
    )
    assert (ran.stdout, ran.returncode) == (answer + "\n", 0), ran.stderr


# --- TLS that somebody else has put in place -----------------------------------------------------


@pytest.fixture
def pyopenssl():
    """Let urllib3 use pyOpenSSL, as some packages tell it to."""
    pytest.importorskip("OpenSSL")
    import urllib3.contrib.pyopenssl as module

    module.inject_into_urllib3()
    yield
    module.extract_from_urllib3()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("way", ["https", "tunnel", "socks-tls"])
def test_pyopenssl(ask_by, pyopenssl, way, buffer):
    """Over pyOpenSSL, which somebody has injected, answers come, again and again."""
    backend = ask_by(way, otherwise=lambda _: text_reply("fine"), buffer=buffer)
    assert urllib3.util.ssl_.SSLContext is not ssl.SSLContext
    for _ in range(3):
        assert backend.complete("x").text == "fine"
    assert backend.upstream.connections == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("how", ["close", "deadline"])
def test_pyopenssl_ends(ask_by, pyopenssl, how, buffer):
    """There, too, streams are closed at once, and deadlines hold."""
    limits = {"timeout": 0.4} if how == "deadline" else {}
    backend = ask_by("https", Reply([chunk("a"), Stall()]), buffer=buffer, **limits)
    with backend.stream("x") as stream:
        next(stream)
        if how == "deadline":
            with pytest.raises(ie.DeadlineError):
                next(stream)
    assert backend.upstream.requests[0].gone.wait(SOON)


HALF_PATCHED = """
    import requests
    from gevent import monkey
    import warnings
    warnings.simplefilter("ignore")
    monkey.patch_all()
    import inferd_engine as ie
    try:
        ie.OpenAiCompat(base_url="https://127.0.0.1:9", api_key="").complete("x")
    except ie.InternalError as error:
        print(error)
"""


def test_half_patched():
    """Gevent that came too late is told as ever."""
    pytest.importorskip("gevent")
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(HALF_PATCHED)],
        capture_output=True,
        text=True,
        timeout=SOON * 3,
        check=False,
    )
    assert "call monkey.patch_all() before anything else" in ran.stdout, ran.stderr


FIRST_CALL_RECORDED = """
    import sys
    import vcr

    with vcr.use_cassette("it.yaml"):
        import inferd_engine as ie  # all of it, with a recorder in place
        backend = ie.OpenAiCompat(base_url=sys.argv[1], api_key="")
        assert backend.complete("x").text == "real"
    stream = backend.stream("stall")
    assert next(stream).delta == "a"
    stream.close()
    assert backend.complete("x").text == "real"
    assert backend.complete("x").text == "real"
    backend.stop()
"""


def test_the_first_call_of_all_is_recorded(tmp_path):
    """A recorder that is there when the package is imported is gone from it when it goes."""
    pytest.importorskip("vcr")

    def reply(received):
        stalls = received.json["messages"][-1]["content"] == "stall"
        return Reply([chunk("a"), Stall()]) if stalls else text_reply("real")

    with Upstream(otherwise=reply) as upstream:
        ran = subprocess.run(
            [
                sys.executable,
                "-W",
                "error",
                "-c",
                textwrap.dedent(FIRST_CALL_RECORDED),
                upstream.url,
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=SOON * 3,
            check=False,
        )
        assert (ran.returncode, ran.stderr) == (0, "")
        assert upstream.requests[1].gone.wait(SOON)
        assert upstream.connections == 3
