"""A cassette: recorded once from a real server, replayed as it was, and never anything else."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time

import pytest

import inferd_engine as ie
from inferd_engine.testing import (
    DONE,
    Cassette,
    CassetteError,
    Cut,
    Gate,
    Pause,
    Reply,
    Reset,
    Stall,
    Upstream,
    chunk,
    echo,
    error_reply,
    json_reply,
    raw_reply,
    text_reply,
    tool_call_reply,
)

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
SOON = 10.0  # seconds: an upper bound, on a loaded machine, of what takes milliseconds


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cassettes" / "one.jsonl"


@pytest.fixture
def record(path, backend_at):
    """Give a function that records what an upstream with these replies says to some prompts."""

    def make(*replies, prompts=("Hi",), **options):
        with Upstream(*replies) as upstream, Cassette(path, upstream=upstream.url) as cassette:
            backend = backend_at(cassette.url, **options)
            return [ending_of(backend, prompt) for prompt in prompts]

    return make


def ending_of(backend, prompt="Hi"):
    """Give what an answer said, and how it ended: ``Done``, or the class of the error."""
    try:
        completion = backend.complete(prompt)
    except ie.GenerateError as error:
        return (error.partial and error.partial.text), type(error)
    return completion.text, completion.done


def lines_of(path, kind):
    """Give the lines of one kind."""
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()[1:]]
    return [line for line in lines if line["kind"] == kind]


def data_of(line):
    assert "text" in line
    return line["text"].encode()


# --- the same, again -----------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["recorded", "bytes", "whole"])
@pytest.mark.parametrize(
    "reply",
    [
        text_reply("Why, it scatters: ünïcödé 😀.", usage=(1, 2)),
        tool_call_reply("weather", {"city": "Köln"}),
        json_reply({"choices": [{"message": {"content": "whole"}, "finish_reason": "stop"}]}),
        Reply([chunk("no length"), chunk(finish_reason="stop"), DONE], framing="close"),
        Reply([chunk("a length"), chunk(finish_reason="stop"), DONE], framing="length"),
        error_reply(400, "no such thing"),
        error_reply(429, "slow down", headers={"Retry-After": "7"}),
        Reply([b"<html>busy</html>"], 503, {"Content-Type": "text/html"}),
        Reply([chunk("half"), Cut()]),
        Reply([chunk("half"), Pause(0.1), Reset()]),
        raw_reply(HEAD + b"Content-Length: 9999\r\n\r\n" + chunk("promised"), Cut()),
        raw_reply(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n" + chunk("in a chunk"), Cut()
        ),
        raw_reply(Cut()),
        raw_reply(Reset()),
        raw_reply(b"HTTP/1.1 200 O", Cut()),
    ],
    ids=lambda reply: repr(reply)[:60],
)
def test_replayed_as_recorded(path, record, backend_at, reply, split):
    """Whatever an upstream did, the client meets it again: text, status, cut or reset."""
    [recorded] = record(reply)
    with Cassette(path, split=split) as cassette:
        assert ending_of(backend_at(cassette.url)) == recorded
        assert not cassette.is_recording


@pytest.mark.parametrize(
    ("reply", "how"),
    [
        (text_reply("whole"), "eof"),
        (Reply([chunk("half"), Cut()]), "cut"),
        (raw_reply(HEAD + b"Content-Length: 999\r\n\r\nhalf", Cut()), "cut"),
        (raw_reply(Cut()), "cut"),
        (Reply([chunk("half"), Pause(0.1), Reset()]), "reset"),
        (raw_reply(Reset()), "reset"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_how_a_connection_ends(path, record, reply, how):
    """The file names it, and a client's socket sees the same: an end, or a reset."""
    record(reply)
    assert [line["how"] for line in lines_of(path, "end")] == [how]
    body = json.dumps(lines_of(path, "request")[0]["body"]).encode()
    request = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
    with Cassette(path) as cassette:
        port = int(cassette.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=SOON) as client:
            client.sendall(request + body)
            resets = pytest.raises(ConnectionResetError)
            with resets if how == "reset" else contextlib.nullcontext():
                while client.recv(65536):
                    pass


def test_chunk_borders_and_times(path, record):
    """A chunk of the upstream is a line of the file, with the moment at which it came."""
    first, second = chunk("one"), chunk("two") + chunk("three")
    record(Reply([first, Pause(0.2), second, Pause(0.1), DONE]))
    lines = lines_of(path, "chunk")
    assert [data_of(line) for line in lines] == [first, second, DONE]
    assert lines[1]["t"] - lines[0]["t"] >= 0.19
    assert lines_of(path, "end")[0]["t"] >= 0.29


def test_bytes_that_are_no_text(path, record, backend_at):
    """A character that is cut, and bytes that are none, come back as they were."""
    whole = chunk("é") + b": \xff\n\n"
    cut = whole.index(b"\xc3") + 1
    recorded = record(Reply([whole[:cut], Pause(0.05), whole[cut:], chunk(finish_reason="stop")]))
    assert "base64" in lines_of(path, "chunk")[0]
    with Cassette(path) as cassette:
        assert [ending_of(backend_at(cassette.url))] == recorded == [("é", recorded[0][1])]


@pytest.mark.parametrize(("speed", "least", "most"), [(0, 0, 0.3), (1, 0.6, SOON), (3, 0.2, 0.55)])
def test_speeds(path, record, backend_at, speed, least, most):
    """A replay waits for nothing, as long as it was, or any part of that."""
    record(text_reply("one two three", delay=0.2))
    with Cassette(path, speed=speed) as cassette:
        began = time.monotonic()
        assert backend_at(cassette.url).complete("Hi").text == "one two three"
        assert least * 0.95 <= time.monotonic() - began <= most


def test_several_interactions_in_their_order(path, record, backend_at):
    """One request that was made twice is answered twice, differently; others may come between."""
    replies = [text_reply(text) for text in ("first", "other", "second")]
    recorded = record(*replies, prompts=("Hi", "Ho", "Hi"))
    with Cassette(path) as cassette:
        backend = backend_at(cassette.url)
        assert [ending_of(backend, prompt) for prompt in ("Ho", "Hi", "Hi")] == [
            recorded[1],
            recorded[0],
            recorded[2],
        ]


def test_concurrent_interactions(path, backend_at):
    """Answers that come at once stay apart, recorded and replayed."""
    prompts = [f"Prompt {number}" for number in range(12)]
    gate = Gate()

    def answer(received):
        steps = text_reply(f"To {received.json['messages'][0]['content']}").steps
        return Reply([steps[0], gate, *steps[1:]])

    def ask_all(url, after):
        backend = backend_at(url)
        given = {}

        def ask(prompt):
            given[prompt] = backend.complete(prompt).text

        threads = [threading.Thread(target=ask, args=(prompt,)) for prompt in prompts]
        for thread in threads:
            thread.start()
        after()
        for thread in threads:
            thread.join(SOON)
        return given

    with Upstream(otherwise=answer) as upstream:
        with Cassette(path, upstream=upstream.url) as cassette:

            def all_are_under_way():
                upstream.wait_for_request(len(prompts))
                gate.open()

            recorded = ask_all(cassette.url, all_are_under_way)
    with Cassette(path) as cassette:
        assert ask_all(cassette.url, lambda: None) == recorded
    assert recorded == {prompt: f"To {prompt}" for prompt in prompts}


@pytest.fixture
def left(path, backend_at):
    """Record a client that leaves in the middle."""
    with Upstream(Reply([chunk("begun"), Stall()])) as upstream:
        with Cassette(path, upstream=upstream.url) as cassette:
            with backend_at(cassette.url).stream("Hi") as stream:
                assert next(stream).delta == "begun"
            assert upstream.requests[0].gone.wait(SOON)
    assert [line["how"] for line in lines_of(path, "end")] == ["cancelled"]


@pytest.mark.usefixtures("left")
def test_a_client_that_leaves(path, backend_at):
    """The upstream sees the client go; the file says so, and a replay waits for it to go again."""
    with Cassette(path) as cassette, backend_at(cassette.url).stream("Hi") as stream:
        assert next(stream).delta == "begun"
        assert stream.poll(0.05) is None


@pytest.mark.usefixtures("left")
def test_a_client_that_stays_longer_than_the_recording(path, backend_at, monkeypatch):
    """A client that does not leave where it left is cut off and told of."""
    monkeypatch.setattr("inferd_engine.testing.replay._LEAVING_SECONDS", 0.05)
    with pytest.raises(CassetteError, match="the client left here when it was recorded"):
        with Cassette(path) as cassette, pytest.raises(ie.StreamInterruptedError):
            backend_at(cassette.url).complete("Hi")


def test_a_client_that_does_not_read(path):
    """It holds the upstream up, and when it goes so does all that served it: no thread is left."""
    block = b": " + b"x" * 20_000 + b"\n\n"
    with Upstream(Reply([block] * 2000)) as upstream:
        with Cassette(path, upstream=upstream.url) as cassette:
            host, port = cassette.url.rpartition("/")[2].split(":")
            with socket.create_connection((host, int(port))) as client:
                client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
                received = upstream.wait_for_request()
                assert client.recv(100)
                assert not received.finished.wait(0.5)
            assert received.gone.wait(SOON)
    assert lines_of(path, "end")[0]["how"] == "cancelled"


# --- what is recorded, and when ------------------------------------------------------------------


def test_once_records_once(path, backend_at):
    """The default mode asks the upstream where there is no file, and never after that."""
    with Upstream() as upstream:
        for _ in range(2):
            with Cassette(path, upstream=upstream.url) as cassette:
                assert backend_at(cassette.url).complete("Hi").text == "You said: Hi"
        assert len(upstream.requests) == 1


def test_record_records_anew(path, record, backend_at):
    """``record`` replaces what is there."""
    record(text_reply("old"))
    with Upstream(text_reply("new")) as upstream:
        with Cassette(path, upstream=upstream.url, mode="record") as cassette:
            assert cassette.is_recording
            assert backend_at(cassette.url).complete("Hi").text == "new"
    with Cassette(path, mode="replay") as cassette:
        assert backend_at(cassette.url).complete("Hi").text == "new"


def test_recording_twice_gives_the_same_file_but_for_times(path, record):
    """A cassette diffs well: nothing in it is random."""
    files = []
    for _ in range(2):
        path.unlink(missing_ok=True)
        record(text_reply("same"), error_reply(500, "same"), prompts=("Hi", "Ho"))
        lines = map(json.loads, path.read_text("utf-8").splitlines())
        files.append([{name: line[name] for name in line if name != "t"} for line in lines])
    assert files[0] == files[1]


def test_nothing_is_written_where_nothing_was_asked(path):
    """A test that failed before it asked leaves no empty cassette behind."""
    with Cassette(path, upstream="http://127.0.0.1:1"):
        pass
    assert not path.exists()


@pytest.mark.parametrize("path_of_base", ["", "/v1", "/api/v1", "/openai/deployments/m"])
def test_the_url_stands_in_the_upstreams_place(path, backend_at, path_of_base):
    """A client that is given ``url`` asks as if it had been given the upstream's, both times."""

    def answer_all(received):
        asked.append(received.path)
        return text_reply("found")

    class Anywhere(Upstream):
        def _reply_to(self, received):
            return answer_all(received)

    asked = []
    with Anywhere() as upstream:
        backend_at(upstream.url + path_of_base).complete("Hi")
        with Cassette(path, upstream=f"{upstream.url}{path_of_base}?version=1") as cassette:
            url = cassette.url
            assert backend_at(url).complete("Hi").text == "found"
    assert asked == [asked[0], f"{asked[0]}?version=1"]
    with Cassette(path) as cassette:
        assert cassette.url.rpartition(":")[2].partition("/")[2] == path_of_base.lstrip("/")
        assert backend_at(cassette.url).complete("Hi").text == "found"


def test_other_requests_than_chats(path, backend_at):
    """Whatever a client asks for is recorded: models, errors of other paths."""
    with Upstream(models=["a", "b"]) as upstream:
        with Cassette(path, upstream=upstream.url) as cassette:
            assert backend_at(cassette.url).models() == ["a", "b"]
    with Cassette(path) as cassette:
        assert backend_at(cassette.url).models() == ["a", "b"]


def test_an_upstream_with_tls(path, backend_at, monkeypatch):
    """A real upstream speaks https; the client speaks http to the cassette."""
    with Upstream(text_reply("secret"), tls=True) as upstream:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", upstream.ca_file)
        with Cassette(path, upstream=upstream.url) as cassette:
            assert backend_at(cassette.url).complete("Hi").text == "secret"


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "options", "reason"),
    [
        ("Ho", {}, r"body.messages\[0\].content"),
        (["Hi", "Ho"], {}, "the length of body.messages"),
        ("Hi", {"model": "other"}, "body.model"),
        ("Hi", {"extra_body": {"seed": 1}}, r"body.seed \(asked alone\)"),
    ],
)
def test_a_miss_is_loud(path, record, backend_at, prompt, options, reason):
    """A request that was not recorded fails the call, and leaving; both say where it differs."""
    record(text_reply("Hello"))
    messages = [ie.user(text) for text in ([prompt] if isinstance(prompt, str) else prompt)]
    with pytest.raises(CassetteError, match=reason):
        with Cassette(path, mode="replay") as cassette:
            with pytest.raises(ie.HttpStatusError, match=reason) as caught:
                backend_at(cassette.url, **options).complete(messages)
            assert not caught.value.retryable


def test_once_too_often(path, record, backend_at):
    """A recorded answer is given as often as it was recorded."""
    record(text_reply("Hello"))
    with pytest.raises(CassetteError, match="recorded 1 times, and asked for once more"):
        with Cassette(path) as cassette:
            assert ending_of(backend_at(cassette.url))[0] == "Hello"
            assert ending_of(backend_at(cassette.url))[1] is ie.HttpStatusError


def test_another_path(path, record, backend_at):
    """A miss names what the cassette has."""
    record(text_reply("Hello"))
    with pytest.raises(CassetteError, match=r"GET /v1/models was not recorded.*POST /v1/chat"):
        with Cassette(path) as cassette, pytest.raises(ie.HttpStatusError):
            backend_at(cassette.url).models()


@pytest.mark.parametrize("mode", ["once", "replay"])
def test_a_miss_never_reaches_the_network(path, record, backend_at, mode):
    """With a file, the upstream is not asked, whatever is asked for."""
    record(text_reply("Hello"))
    with Upstream() as upstream:
        with pytest.raises(CassetteError):
            with Cassette(path, upstream=upstream.url, mode=mode) as cassette:
                assert ending_of(backend_at(cassette.url), "Ho")[1] is ie.HttpStatusError
        assert upstream.connections == 0


def test_the_error_of_the_block_is_kept(path, record, backend_at):
    """Where the block fails by what it missed, both are told; an interrupt goes on up as it is."""
    record(text_reply("Hello"))
    with pytest.raises(CassetteError) as caught:
        with Cassette(path) as cassette:
            backend_at(cassette.url).complete("Ho")
    assert isinstance(caught.value.__context__, ie.HttpStatusError)
    with pytest.raises(KeyboardInterrupt):
        with Cassette(path) as cassette:
            ending_of(backend_at(cassette.url), "Ho")
            raise KeyboardInterrupt


def test_without_a_file(path):
    """There is nothing to replay: entering says so, and how to record."""
    for mode in ("replay", "once"):
        cassette = Cassette(path, mode=mode)
        with pytest.raises(FileNotFoundError, match="record it"):
            cassette.__enter__()
    with Cassette(path, mode="once", upstream="http://127.0.0.1:1") as cassette:
        assert cassette.is_recording


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"mode": "all"}, "mode is one of once, record, replay"),
        ({"mode": "record"}, "wants upstream="),
        ({"speed": -1}, "speed is"),
        ({"speed": "1"}, "speed is"),
        ({"speed": float("nan")}, "speed is"),
        ({"speed": float("inf")}, "speed is"),
        ({"split": "lines"}, "split is one of"),
        ({"upstream": "localhost:8080"}, "upstream is a URL"),
        ({"upstream": "ftp://localhost"}, "upstream is a URL"),
        ({"upstream": "http://"}, "upstream is a URL"),
        ({"upstream": "https://me:my-password@localhost"}, "user in its URL"),
    ],
)
def test_wrong_arguments(path, options, reason):
    """What cannot be served is refused where it is written, without a secret."""
    with pytest.raises(ValueError, match=reason) as caught:
        Cassette(path, **options)
    assert "my-password" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("nonsense", 1),
        ('{"cassette": 99, "base": ""}', 1),
        ('{"log": {"entries": []}}', 1),
        ('{"cassette": 1, "base": ""}\n{"kind": "chunk", "t": 0, "text": "x"}', 2),
        ('{"cassette": 1, "base": ""}\n{"kind": "request"}', 2),
        ('{"cassette": 1, "base": ""}\n{"kind": "surprise"}', 2),
        ('{"cassette": 1, "base": ""}\n[]', 2),
    ],
)
def test_a_file_that_is_no_cassette(path, text, line):
    """Entering names the file and the line."""
    path.parent.mkdir()
    path.write_text(text, "utf-8")
    cassette = Cassette(path)
    with pytest.raises(ValueError, match=rf"one.jsonl, line {line}: "):
        cassette.__enter__()


def test_an_upstream_that_is_not_there(path, record, backend_at):
    """Recording fails loudly, and what was recorded before stays as it is."""
    record(text_reply("Hello"))
    before = path.read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(CassetteError, match="upstream cannot be reached"):
        with Cassette(path, upstream=f"http://127.0.0.1:{port}", mode="record") as cassette:
            assert ending_of(backend_at(cassette.url))[1] is ie.HttpStatusError
    assert path.read_bytes() == before
    assert [*path.parent.iterdir()] == [path]


def test_compressed_answers(path, backend_at):
    """Nothing compressed is asked for; gzip that comes is undone, and the rest refused."""
    import gzip

    packed = gzip.compress(chunk("unpacked") + chunk(finish_reason="stop") + DONE)
    headers = {"Content-Encoding": "gzip", "Content-Type": "text/event-stream"}
    with Upstream(Reply([packed[:50], packed[50:]], headers=headers, framing="length")) as upstream:
        with Cassette(path, upstream=upstream.url) as cassette:
            assert backend_at(cassette.url).complete("Hi").text == "unpacked"
        assert upstream.requests[0].headers["accept-encoding"] == "identity"
    assert "unpacked" in path.read_text("utf-8")
    with Upstream(Reply([b"?"], headers={**headers, "Content-Encoding": "br"})) as upstream:
        with pytest.raises(CassetteError, match="compresses with br"):
            with Cassette(path, upstream=upstream.url, mode="record") as cassette:
                ending_of(backend_at(cassette.url))


# --- the object ----------------------------------------------------------------------------------


def test_the_url_is_there_while_it_serves(path, record):
    """Before and after there is nothing to ask; closing twice does no harm."""
    record(text_reply("Hello"))
    cassette = Cassette(path)
    with pytest.raises(RuntimeError, match="with block"):
        cassette.url  # noqa: B018
    with cassette, cassette:  # a fixture has entered it, and the test does so again
        assert cassette.url.startswith("http://127.0.0.1:")
    cassette.close()
    with pytest.raises(RuntimeError):
        cassette.url  # noqa: B018
    assert str(path) in repr(cassette)


def test_leaving_while_an_answer_is_recorded(path, backend_at):
    """The client is cut off, nothing hangs, and what had come is in the file."""
    with Upstream(Reply([chunk("begun"), Stall()])) as upstream:
        with contextlib.ExitStack() as stack:
            with Cassette(path, upstream=upstream.url) as cassette:
                stream = stack.enter_context(backend_at(cassette.url).stream("Hi"))
                assert next(stream).delta == "begun"
            with pytest.raises(ie.StreamInterruptedError):
                list(stream)
    assert data_of(lines_of(path, "chunk")[0]) == chunk("begun")


def test_an_answer_that_is_not_streamed(path, backend_at):
    """``stream=False`` is asked for and answered as any other field."""
    with Upstream(otherwise=echo) as upstream, Cassette(path, upstream=upstream.url) as cassette:
        backend = backend_at(cassette.url)
        assert backend.complete("Hi", stream=False).text == "You said: Hi"
    [request] = lines_of(path, "request")
    assert request["body"]["stream"] is False
