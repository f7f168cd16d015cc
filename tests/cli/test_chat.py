"""``chat`` with a prompt: what is sent, and what is printed where."""

from __future__ import annotations

import base64
import io
import struct
import wave
import zlib

import pytest
from cli.running import run

from inferd_engine import cli
from inferd_engine.testing import (
    Reply,
    Upstream,
    chunk,
    event,
    json_reply,
    text_reply,
    tool_call_reply,
)

RED = b"IDAT" + zlib.compress(b"\x00\xff\x00\x00")


def png():
    """A red pixel: PNG 3rd edition, 5.3."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    chunks = (
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c))
        for c in (header, RED, b"IEND")
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def wav():
    """A moment of silence."""
    sound = io.BytesIO()
    with wave.open(sound, "wb") as out:
        out.setparams((1, 2, 8000, 0, "NONE", ""))
        out.writeframes(bytes(16))
    return sound.getvalue()


def asked(upstream):
    """Give the last question that was sent."""
    return upstream.requests[-1].json


def test_text_alone_is_on_stdout(here):
    """The text, ended by a line end, is on stdout; stderr is empty."""
    with Upstream() as upstream:
        ran = here("chat", "hello there", "--base-url", upstream.url, "-s", "Be brief.")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "You said: hello there\n", "")
    assert asked(upstream)["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hello there"},
    ]


def test_settings_come_from_the_environment():
    """Base URL and key come from the variables that every client reads."""
    with Upstream(api_key="sk-1") as upstream:
        env = {"OPENAI_BASE_URL": upstream.url, "OPENAI_API_KEY": "sk-1"}
        ran = run("chat", "-m", "m7", "--max-tokens=3", "--temperature=0.5", stdin="hi\n", env=env)
    assert (ran.returncode, ran.stdout) == (0, "You said: hi\n")
    assert (asked(upstream)["model"], asked(upstream)["max_tokens"]) == ("m7", 3)
    assert asked(upstream)["temperature"] == 0.5


def test_why_it_ended_is_told_on_stderr(here):
    """An answer that ended for another reason than its end says so on stderr."""
    with Upstream() as upstream:
        ran = here("chat", "one two three", "--max-tokens=3", "--base-url", upstream.url)
    assert (ran.returncode, ran.stdout) == (0, "You said: one\n")
    assert ran.stderr == "[max_tokens]\n"


def test_tool_calls_are_told_on_stderr(here):
    """A tool that the model calls is told with its arguments; tools are sent as they are given."""
    tool = '[{"type": "function", "function": {"name": "weather", "parameters": {}}}]'
    with Upstream(tool_call_reply("weather", {"city": "Zürich"})) as upstream:
        ran = here("chat", "?", "-o", f"tools={tool}", "--base-url", upstream.url)
    assert ran.stdout == ""
    assert '[tool call weather({"city": "Zürich"})]' in ran.stderr
    assert asked(upstream)["tools"][0]["function"]["name"] == "weather"


def test_thinking_is_not_for_pipes(here):
    """Thoughts are neither in the text nor in a log."""
    reply = Reply([chunk(reasoning_content="Hm."), chunk("Yes."), chunk(finish_reason="stop")])
    with Upstream(reply) as upstream:
        ran = here("chat", "?", "--base-url", upstream.url)
    assert (ran.stdout, ran.stderr) == ("Yes.\n", "")


def test_a_pipe_gets_text_as_it_is():
    """What a program reads is what the model said, escape sequences and all."""
    with Upstream(text_reply(["a\x1b[31mb\u202e\r\n", "c"])) as upstream:
        ran = run("chat", "?", "--base-url", upstream.url, stdin=b"")
    assert ran.stdout == "a\x1b[31mb\u202e\r\nc\n".encode()


@pytest.mark.parametrize("text", ["no line end", "one\n", "two\n\n"])
def test_a_line_end_is_added_where_there_is_none(here, text):
    """A text that ends a line stays as it is."""
    with Upstream(text_reply([text])) as upstream:
        ran = here("chat", "?", "--base-url", upstream.url)
    assert ran.stdout == (text if text.endswith("\n") else text + "\n")


# --- attachments ---------------------------------------------------------------------------------


def test_images_and_sounds_are_known_by_content(here, tmp_path):
    """A file's first bytes say what it is; its name may say anything."""
    (tmp_path / "image.txt").write_bytes(png())
    (tmp_path / "sound").write_bytes(wav())
    url = "https://example.com/x"
    with Upstream() as upstream:
        given = ["-a", "image.txt", "--attachment", "sound", "-a", url]
        ran = here("chat", "What", *given, "is this?", "--base-url", upstream.url)
    assert ran.returncode == 0, ran.stderr
    text, image, sound, linked = asked(upstream)["messages"][0]["content"]
    assert text == {"type": "text", "text": "What is this?"}
    assert base64.b64decode(image["image_url"]["url"].partition("base64,")[2]) == png()
    assert base64.b64decode(sound["input_audio"]["data"]) == wav()
    assert linked["image_url"]["url"] == url


def test_an_attachment_from_stdin(here):
    """``-a -`` reads it from stdin, which is not the prompt then."""
    with Upstream() as upstream:
        ran = here("chat", "See", "-a", "-", "--base-url", upstream.url, stdin=png())
    assert ran.returncode == 0, ran.stderr
    text, image = asked(upstream)["messages"][0]["content"]
    assert text["text"] == "See"
    assert image["type"] == "image_url"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.png", None, ["missing.png cannot be read: No such file"]),
        (".", None, ["cannot be read: Is a directory"]),
        ("notes.txt", b"plain text", ["neither an image", "nor a sound", "< notes.txt"]),
        ("empty.png", b"", ["neither an image"]),
        ("a\0b", None, ["cannot be read"]),
    ],
    ids=["missing", "folder", "text", "empty", "name"],
)
def test_a_wrong_attachment(here, tmp_path, name, content, words):
    """What cannot be attached is refused by name, with what to do, before anybody is asked."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    ran = here("chat", "?", "-a", name, "--base-url", "http://127.0.0.1:9")
    assert ran.returncode == cli.EXIT_USAGE
    assert all(word in ran.stderr for word in words)
    assert ran.stderr.count("\n") == 1


# --- the model -----------------------------------------------------------------------------------


def test_the_only_model_is_taken(here):
    """Without a name the only model that the upstream lists is asked."""
    with Upstream(models=["the-one"]) as upstream:
        assert here("chat", "?", "--base-url", upstream.url).returncode == 0
    assert asked(upstream)["model"] == "the-one"


def test_of_several_models_one_has_to_be_named(here):
    """The list is shown, and nothing is asked."""
    with Upstream(models=[f"m{n}" for n in range(30)]) as upstream:
        ran = here("chat", "?", "--base-url", upstream.url)
        assert here("chat", "?", "-m", "m7", "--base-url", upstream.url).returncode == 0
    assert ran.returncode == cli.EXIT_USAGE
    assert "which of 30 models? Name one with --model NAME:\n  m0\n  m1\n" in ran.stderr
    assert "and 10 more: inferd-engine models lists them" in ran.stderr
    assert [request.method for request in upstream.requests] == ["GET", "POST"]


def test_no_model_is_there(here):
    """An upstream that lists none is told of."""
    with Upstream(models=[]) as upstream:
        ran = here("chat", "?", "--base-url", upstream.url)
    assert ran.returncode == cli.EXIT_USAGE
    assert "lists no model" in ran.stderr


@pytest.mark.parametrize(
    "reply",
    [json_reply({"detail": "Not Found"}, 404), json_reply({"status": "ok"})],
    ids=["none", "another"],
)
def test_an_upstream_without_a_list(here, reply):
    """Where there is no list the upstream decides what the default name means."""
    with WithoutList(reply) as upstream:
        ran = here("chat", "?", "--base-url", upstream.url)
    assert (ran.returncode, ran.stdout) == (0, "You said: ?\n"), ran.stderr


class WithoutList(Upstream):
    """An upstream that answers something else where the models are listed."""

    def __init__(self, listing):
        super().__init__()
        self._listing = listing

    def _reply_to(self, received):
        return self._listing if received.method == "GET" else super()._reply_to(received)


def test_an_event_that_is_an_error_is_an_error(here):
    """An error inside of an answer that has not begun has exit code 1."""
    with Upstream(Reply([event({"error": "out of memory"})])) as upstream:
        ran = here("chat", "?", "--base-url", upstream.url)
    assert ran.returncode == cli.EXIT_UPSTREAM
    assert ran.stderr == "error: the upstream reported an error: out of memory\n"
