"""A second backend over HTTP is what its protocol has of its own, and copies nothing."""

from __future__ import annotations

import contextlib
import copy
import hmac
import http.server
import inspect
import json
import math
import pickle
import threading
import traceback
from functools import partial
from typing import ClassVar

import attrs
import pytest

import inferd_engine as ie
from inferd_engine._native import IMPLEMENTATION
from inferd_engine.backends.over_http.answer import AnswerSource
from inferd_engine.backends.over_http.backend import HttpBackend
from inferd_engine.backends.over_http.credentials import check_header_name
from inferd_engine.backends.over_http.upstream import Upstream, UpstreamFields
from inferd_engine.backends.settings import check_name
from inferd_engine.frames import without_frames
from inferd_engine.net.deadlines import Deadlines
from inferd_engine.net.exchange import Exchange
from inferd_engine.secrets.secret import to_address, to_secret
from inferd_engine.wire.http.urls import at_path

KEY = "toy-0123456789abcdef"
SOON = 10.0  # seconds: an upper bound, on a loaded machine, of what takes milliseconds


# --- the whole of another backend: it posts words to /talk and is answered by lines ---------------


@attrs.frozen(kw_only=True)
class ToyConfig(Upstream):
    BASE_URL = "https://toy.example"
    BASE_URL_VARIABLE = "TOY_URL"
    API_KEY_VARIABLES = ("TOY_KEY", "TOY_OLD_KEY")
    PRESETS = {"loud": {"base_url": "https://loud.example", "voice": "loud"}}  # noqa: RUF012

    api_key_header: str = attrs.field(default="x-toy-key", validator=check_header_name)
    voice: str = attrs.field(default="soft", validator=check_name)
    password: str = attrs.field(default="", converter=to_secret)

    @classmethod
    def preset(cls, name, **given):
        return cls._of_preset(name, given)


class ToyAnswer:
    """Lines of text; ``.`` on a line of its own is the end."""

    def __init__(self):
        self.text, self.state, self.payloads, self.skipped = "", "unclear", 0, 0
        self.error, self.ending, self.model = None, None, "toy-1"

    def feed(self, data):
        *lines, self.text = (self.text + data.decode()).split("\n")
        self.payloads += len(lines)
        if lines:
            self.state = "over" if "." in lines else "begun"
        return [ie.TextDelta(line) for line in lines if line != "."]

    def end(self):
        return []

    def rest(self):
        self.ending = self.error or ie.Done(ie.StopReason.END_TURN)
        return iter(())

    def fail(self, error):
        self.error, self.state = error, "over"


class Toy(HttpBackend[ToyConfig]):
    config_class = ToyConfig
    stream_type = "text/x-toy"
    name = "toy"

    def __init__(self, config=None, **fields):
        config = to_address(config)
        super().__init__(config, fields)

    def with_options(self, **fields):
        return self._with(fields)

    def capabilities(self):
        return ie.BackendCapabilities(v2=True)

    def _headers(self):
        return {"toy-voice": self.config.voice}

    def _authorize(self, key, request):
        request = super()._authorize(key, request)
        password = self.config.password
        if password:  # a signature over what is sent
            text = f"{request.method} {request.path_url} ".encode() + request.body
            made = hmac.new(password.reveal().encode(), text, "sha256").hexdigest()
            request.headers["toy-signature"] = made
        return request

    def _url(self, end):
        return at_path(self.config.base_url, lambda path: path + end)

    @without_frames
    def generate_v2(self, request, *, cancel=None, include_raw=False):
        words = [block.text for message in request.messages for block in message.content]
        with self._call(cancel, request.id) as call:
            reply = call.post(self._url("/talk"), {"words": words, **self.config.extra_body})
            return call.stream(reply, ToyAnswer())

    @without_frames
    def models(self, *, cancel=None):
        with self._call(cancel) as call:
            return json.loads(call.whole(call.get(self._url("/voices"))))


class ToyFields(UpstreamFields, total=False):
    voice: str
    password: str


# --- its upstream ---------------------------------------------------------------------------------


class Talker(http.server.BaseHTTPRequestHandler):
    """Answer by the path below the root, or by whatever the server was told."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.do_GET()

    def do_GET(self):
        self.server.asked.append((self.command, self.path, dict(self.headers)))
        self.server.arrived.set()
        status, kind, body = self.server.answer(self)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Request-Id", "toy-request-1")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def talker():
    """Serve on loopback; ``answer`` gives status, Content-Type and body for a request."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Talker)
    server.bodies, server.asked, server.arrived = [], [], threading.Event()
    server.answer = lambda _: (200, "text/x-toy; v=1", b"one\ntwo\n.\n")
    server.url = f"http://127.0.0.1:{server.server_port}/api"
    server.handle_error = lambda *_: None  # who was cancelled does not wait for an answer
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def toy(talker):
    """Give a toy that asks it."""
    with Toy(talker.url, api_key=KEY, timeout=20.0) as backend:
        yield backend


# --- what it has got ------------------------------------------------------------------------------


def test_it_streams(toy, talker):
    """Events come through a stream like any other's; path, headers and body are its own."""
    with toy.stream("Hello", system="Be brief.") as stream:
        assert [*stream.text()] == ["one", "two"]
    assert stream.done == ie.Done(ie.StopReason.END_TURN)
    assert stream.request_id == "toy-request-1"
    ((command, path, headers),) = talker.asked
    assert (command, path) == ("POST", "/api/talk")
    assert headers["x-toy-key"] == KEY
    assert headers["toy-voice"] == "soft"
    assert headers["Accept"].startswith("text/x-toy")
    assert "Authorization" not in headers
    assert json.loads(talker.bodies[0]) == {"words": ["Be brief.", "Hello"]}


def test_it_keeps_its_connection(toy, talker):
    """Answers that were whole leave their connection to the next call, also of another backend."""
    ports = set()
    answer = talker.answer
    talker.answer = lambda request: ports.add(request.client_address[1]) or answer(request)
    for backend in (toy, toy, toy.with_options(voice="loud")):
        assert backend.complete("x").text == "onetwo"
    assert len(ports) == 1
    assert [headers["toy-voice"] for _, _, headers in talker.asked] == ["soft", "soft", "loud"]


def test_one_with_other_options(toy):
    """It is of the same class and has what its class has added; each ends its own calls alone."""
    toy.notes = ["kept"]
    other = toy.with_options(voice="loud")
    assert (type(other), other.notes) == (Toy, ["kept"])
    other.stop()
    assert (other.ready(), toy.ready()) == (False, True)
    with pytest.raises(ie.NotReadyError):
        other.models()
    assert toy.complete("x").text == "onetwo"


def test_whole_answers(toy, talker):
    """What is not streamed is read whole, and no more of it than is allowed."""
    talker.answer = lambda _: (200, "application/json", b'["soft", "loud"]')
    assert toy.models() == ["soft", "loud"]
    assert talker.asked[0][:2] == ("GET", "/api/voices")
    with pytest.raises(ie.UpstreamError, match="the limit is 8") as caught:
        toy.with_options(max_event_bytes=8).models()
    assert caught.value.code == "event_too_large"


@pytest.mark.parametrize("how", ["token", "stop"])
@pytest.mark.parametrize("call", ["stream", "models"])
def test_it_is_cancelled_while_it_waits_for_headers(toy, talker, call, how):
    """A token and stop() end a call that has no answer yet."""
    over, token = threading.Event(), ie.CancelToken()
    talker.answer = lambda _: (over.wait(SOON), (200, "text/x-toy", b""))[1]
    ended = []

    def ask():
        with contextlib.suppress(ie.RequestCancelledError):
            toy.stream("x", cancel=token) if call == "stream" else toy.models(cancel=token)
            return
        ended.append(call)

    thread = threading.Thread(target=ask)
    thread.start()
    assert talker.arrived.wait(SOON)
    token.cancel() if how == "token" else toy.stop()
    thread.join(SOON)
    over.set()
    assert ended == [call]


def test_a_refusal_is_cleaned_of_the_key(toy, talker):
    """What the upstream says back of a key is masked, and so is what a traceback holds."""
    talker.answer = lambda request: (
        401,
        "application/json",
        json.dumps({"error": {"message": f"bad key {request.headers['x-toy-key']}"}}).encode(),
    )
    for ask in (lambda: toy.complete("x"), toy.models):
        with pytest.raises(ie.HttpStatusError, match=r"bad key \*\*\*") as caught:
            ask()
        error = caught.value
        assert (error.status, error.request_id) == (401, "toy-request-1")
        assert "the key came from api_key" in str(error)
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
        shown = "".join(told.format()) + repr(vars(error)) + repr(error.args)
        assert "toy-0123456789" not in shown.replace(f'KEY = "{KEY}"', "")


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (b'{"detail": "Not Found"}', "was asked, because base_url is http://127.0.0.1:{port}/api)"),
        (b'{"error": "no such voice"}', "/api/talk was asked, because base_url is http://"),
    ],
)
def test_where_nobody_is_asked(toy, talker, body, hint):
    """A path that is not there is told with what it came from, and no model that none was."""
    talker.answer = lambda _: (404, "application/json", body)
    with pytest.raises(ie.HttpStatusError) as caught:
        toy.complete("x")
    assert hint.format(port=talker.server_port) in str(caught.value)
    assert "model" not in str(caught.value)


def test_an_answer_that_is_no_stream_by_its_type(toy, talker):
    """It is read until it is clear what it is; one that has begun is one all the same."""
    talker.answer = lambda _: (200, "text/event-stream", b"one\n.\n")
    assert toy.complete("x").text == "one"
    with pytest.raises(ie.InvalidRequestError, match="JSON cannot hold"):
        toy.with_options(extra_body={"x": {1, 2}}).complete("x")


def test_a_body_is_signed_as_it_is_sent(talker):
    """Credentials are added to the request that is sent, address and bytes, and go nowhere else."""
    with Toy(talker.url, password=f"pass-{KEY}") as toy:
        toy.complete("caf\xe9")
        ((_, path, headers),) = talker.asked
        text = f"POST {path} ".encode() + talker.bodies[0]
        wanted = hmac.new(f"pass-{KEY}".encode(), text, "sha256").hexdigest()
        assert headers["toy-signature"] == wanted
        talker.answer = lambda _: (500, "text/plain", f"so your password is pass-{KEY}".encode())
        with pytest.raises(ie.HttpStatusError, match=r"password is \*\*\*$"):
            toy.complete("x")
        assert "toy-0" not in repr(toy)
        with pytest.raises(
            ie.InvalidRequestError, match=r"^password: .*with_options\(password=…\)"
        ):
            pickle.loads(pickle.dumps(toy)).complete("x")


# --- its configuration ----------------------------------------------------------------------------


def test_what_was_read_is_counted_while_the_short_way_is_left():
    """Anyone may ask for the stats of a stream, at any moment."""

    class Part:
        bytes, can_wait = 7, True

    class Leaving(AnswerSource):
        ways: ClassVar = [Part(), None]
        way = property(lambda self: self.ways.pop(0), lambda *_: None)

    assert Leaving(Part(), ToyAnswer(), Exchange(Deadlines())).bytes == 14


def test_the_fields_are_typed():
    """What editors complete for it is what its configuration has."""
    names = {field.name for field in attrs.fields(ToyConfig)}
    assert set(UpstreamFields.__annotations__ | ToyFields.__annotations__) == names


def test_help_tells_of_every_field():
    """What a class says of itself is whole, though many of its fields are every upstream's."""
    told = inspect.getdoc(ie.OpenAiCompatConfig)
    for field in attrs.fields(ie.OpenAiCompatConfig):
        assert told.count(f"\n    {field.name}: ") == 1
    assert "chat/completions`` below it" in told  # what the class says itself wins


def test_where_it_asks(monkeypatch):
    """The address and the key are the caller's, or the environment's, or the usual."""
    assert ToyConfig().base_url == ToyConfig(base_url=None).base_url == "https://toy.example"
    assert (ToyConfig().api_key, ToyConfig().api_key_variable) == ("", "TOY_KEY")
    monkeypatch.setenv("TOY_URL", "https://other.example")
    monkeypatch.setenv("TOY_OLD_KEY", KEY)
    config = ToyConfig(api_key=None)
    assert (config.base_url, config.api_key) == ("https://other.example", KEY)
    assert config.api_key_variable == config.api_key.source == "TOY_OLD_KEY"
    monkeypatch.setenv("TOY_KEY", KEY[::-1])
    assert ToyConfig().api_key == KEY[::-1]
    with pytest.raises(ie.InvalidRequestError, match="TOY_KEY is not sent"):
        Toy("http://toy.example")


@pytest.mark.parametrize(
    "config", [5, b"https://toy.example", ["x"], ie.OpenAiCompatConfig(api_key="")]
)
def test_what_does_not_configure_it(config):
    """A configuration of another backend is refused, and so is what is none at all."""
    with pytest.raises(ie.InvalidRequestError, match=r"^config is a .* or ToyConfig"):
        Toy(config)


def test_presets():
    """What is known of a provider is data; the fields given win, and near misses are named."""
    assert ToyConfig.preset("loud").voice == "loud"
    assert ToyConfig.preset("loud", voice="hoarse").base_url == "https://loud.example"
    with pytest.raises(ie.InvalidRequestError, match=r"'lout' \(did you mean 'loud'\?\)"):
        ToyConfig.preset("lout")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("base_ulr", ": did you mean base_url?"),
        ("voise", ": did you mean voice?"),
        ("temperature", ": it is an argument of a call, as in backend.stream(…, temperature=…)"),
        ("nonsense", ""),
    ],
)
@pytest.mark.parametrize(
    "make",
    [
        ToyConfig,
        Toy,
        lambda **fields: Toy("https://toy.example").with_options(**fields),
        lambda **fields: ToyConfig.preset("loud", **fields),
    ],
    ids=["config", "backend", "options", "preset"],
)
def test_a_field_that_does_not_exist(make, name, says):
    """A wrong name is a TypeError that names what is close."""
    with pytest.raises(TypeError) as caught:
        make(**{name: "x"})
    assert str(caught.value) == f"ToyConfig has no field {name!r}{says}"


def test_equal_ones_hash_equal():
    """A configuration is a value, and its hash tells nothing of a secret."""
    config = ToyConfig(base_url=f"https://toy.example?k={KEY}", api_key=KEY, extra_body={"a": {}})
    assert config == copy.copy(config) == copy.deepcopy(config)
    assert hash(config) == hash(copy.deepcopy(config))
    other = attrs.evolve(config, base_url="https://toy.example?k=other", api_key="")
    assert hash(config) == hash(other)
    assert config != other
    assert config != attrs.evolve(config, voice="loud")
    assert KEY not in repr(config) + repr(Toy(config))


def test_it_goes_through_a_pickle():
    """What comes out is of the same class, and asks for the key that was left out."""
    pickled = pickle.dumps(Toy(voice="loud", api_key=KEY, headers={"X-Title": "t"}))
    assert KEY.encode() not in pickled
    found = pickle.loads(pickled)
    assert type(found) is Toy
    assert (found.config.voice, found.config.headers) == ("loud", {"X-Title": "t"})
    with pytest.raises(ie.InvalidRequestError, match="give it again"):
        found.models()
    assert found.with_options(api_key=KEY).config == Toy(found.config, api_key=KEY).config


@pytest.mark.parametrize(
    "wrong",
    [{"api_key": 5}, {"extra_body": 5}, {"cert": 5}, {"timeout": 0}, {"typo": 5}],
    ids=lambda wrong: next(iter(wrong)),
)
@pytest.mark.parametrize(
    "make",
    [ToyConfig, Toy, Toy("https://toy.example").with_options, partial(ToyConfig.preset, "loud")],
    ids=["config", "backend", "options", "preset"],
)
def test_a_constructor_that_fails_shows_no_secret(make, wrong):
    """Whatever is wrong, no frame of ours holds what was given beside it."""
    given = {
        "base_url": f"https://toy.example?k={KEY}",
        "api_key": KEY,
        "headers": {"X-A": KEY},
        "proxies": {"http": f"http://me:{KEY}@proxy.example"},
        "password": KEY,
    }
    with pytest.raises((ie.InvalidRequestError, TypeError)) as caught:
        make(**{**given, **wrong})
    frames = caught.value.__traceback__.tb_next  # without the test's own
    told = traceback.TracebackException(
        type(caught.value), caught.value, frames, capture_locals=True
    )
    assert "0123456789" not in "".join(told.format())


@pytest.mark.skipif(IMPLEMENTATION != "native", reason="there is no short way without the C part")
def test_an_answer_that_is_over_on_the_short_way():
    """Plain events may be too many: what is left then is to be asked for at once."""
    failure = ie.UpstreamError("too many")

    class Full(ToyAnswer):
        is_told_once = False

        def likeness(self, _):
            return object()

        def feed(self, _):
            self.state = "begun"
            return [ie.TextDelta("a")]

        def add(self, said):
            self.state, self.ending = "over", failure
            return said

        def rest(self):
            return iter(())

    class Way:
        bytes = events = received = 1

        def read(self, _):
            return [ie.TextDelta("b")]

        def turn_back(self):
            pass

    class Body:
        bytes, can_wait = 0, True

        def read(self, _):
            return b"a"

        def short_way(self, _):
            return Way()

        def has_more(self):
            return False

    source = AnswerSource(Body(), Full(), Exchange(Deadlines()))
    assert [event.delta for event in source.read(-math.inf)] == ["a"]
    assert source.way is not None
    assert [event.delta for event in source.read(-math.inf)] == ["b"]
    assert not source.is_calm
    assert source.due() == 0
    with pytest.raises(ie.UpstreamError, match="too many"):
        source.read(-math.inf)
