"""What the one line of every framework does before there is an answer; what importing costs."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading

import pytest
from web.conftest import SOON, events_of

import inferd_engine as ie
from inferd_engine import web
from inferd_engine.testing import Pause, Reply, Stall, chunk, error_reply, text_reply
from inferd_engine.web.opening import answer_of

USUAL = {"heartbeat": 0.1, "protocol": "inferd", "fields": {}}


def test_a_backend_is_asked(ask):
    """Fields and what else a call takes go along; the last frame names the backend."""
    backend = ask(text_reply("Hello!"))
    fields = {"system": "Be brief.", "max_tokens": 5}
    body = answer_of(backend, "Hi", **{**USUAL, "fields": fields})
    assert events_of(b"".join(body))[-1]["backend"] == "openai-compat"
    sent = backend.upstream.requests[0].json
    assert (sent["max_tokens"], sent["messages"][0]["content"]) == (5, "Be brief.")


def test_a_stream_does_as_well(ask):
    """A stream that was opened already is given as it is."""
    body = answer_of(ask(text_reply("Hello!")).stream("Hi"), None, **USUAL)
    assert b"Hello" in b"".join(body)


def test_what_fails_first(ask):
    """A refused call is an answer, and not a body."""
    answer = answer_of(ask(error_reply(429, "x")), "Hi", **USUAL)
    assert isinstance(answer, web.ErrorResponse)
    assert answer.status == 429


def test_a_wrong_request():
    """A request that cannot be sent is the browser's to mend."""
    answer = answer_of(ie.Mock(), [{"role": "wizard", "content": "x"}], **USUAL)
    assert answer.status == 400


@pytest.mark.parametrize("name", ["gunicorn.socket", "werkzeug.socket"])
def test_a_browser_that_leaves_before_there_is_an_answer(ask, name):
    """It ends the call, where its server lets one see that it has gone."""
    backend = ask(Reply([chunk("Hel")], before=[Stall()]))
    browser, ours = socket.socketpair()
    answers = []

    def view():
        answers.append(answer_of(backend, "Hi", **USUAL, environ={name: ours}))

    thread = threading.Thread(target=view)
    with browser, ours:
        thread.start()
        received = backend.upstream.wait_for_request()
        browser.close()
        assert received.gone.wait(SOON)
        thread.join(SOON)
    assert isinstance(answers[0], web.ErrorResponse)


def test_a_token_of_the_views_own_is_left_alone(ask):
    """It may end other calls: a browser that leaves does not cancel it."""
    backend = ask(text_reply("Hello!", before=[Pause(1.2)]))
    browser, ours = socket.socketpair()
    token = ie.CancelToken()
    with browser, ours:
        browser.close()
        asked = {**USUAL, "fields": {"cancel": token}}
        body = answer_of(backend, "Hi", **asked, environ={"gunicorn.socket": ours})
        assert b"Hello!" in b"".join(body)
    assert not token.cancelled


@pytest.mark.parametrize("wrong", [{"protocol": "sse"}, {"heartbeat": -1}])
def test_a_view_that_is_wrong_leaves_nothing(ask, wrong):
    """A mistake of the view's goes up, and the stream that was opened is closed."""
    backend = ask(Reply([chunk("Hel"), Stall()]))
    with pytest.raises(ie.InvalidRequestError):
        answer_of(backend, "Hi", **{**USUAL, **wrong})
    assert backend.upstream.wait_for_request().gone.wait(SOON)


def test_what_does_not_go_together():
    """A stream was asked already, and a backend wants to be; an unknown field is a TypeError."""
    with ie.Mock().stream("Hi") as stream:
        with pytest.raises(TypeError, match="alone"):
            answer_of(stream, "Hi", **USUAL)
        with pytest.raises(TypeError, match="alone"):
            answer_of(stream, None, **{**USUAL, "fields": {"max_tokens": 3}})
    with pytest.raises(TypeError, match="no prompt"):
        answer_of(ie.Mock(), None, **USUAL)
    with pytest.raises(TypeError, match="max_token"):
        answer_of(ie.Mock(), "Hi", **{**USUAL, "fields": {"max_token": 3}})


def test_importing_it_loads_no_framework():
    """The room needs the standard library alone; asyncio is loaded when ASGI asks for it."""
    code = (
        "import sys; from inferd_engine import web; web.sse, web.OpenAIApp\n"
        "names = 'flask django starlette asgiref asyncio requests werkzeug waitress'.split()\n"
        "print([name for name in names if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_the_package_does_not_import_it():
    """A program without a view does not pay for one."""
    code = (
        "import sys, inferd_engine as ie; ie.Mock().complete('x')\n"
        "print('inferd_engine.web' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
