"""A real browser with the example's page: tokens, the stop button, errors, ways to leave."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from web.servers import browser as chromium

from inferd_engine.testing import (
    DONE,
    Cut,
    Gate,
    Pause,
    Reply,
    Stall,
    chunk,
    error_reply,
)

if chromium.program() is None:
    pytest.skip("there is no Chromium here", allow_module_level=True)

HEARTBEAT = 1.0  # seconds, as the views have it
SLACK = 1.0  # seconds more, for a machine that does other things too
SAID = "<b>Grüße</b> 日本\n\ndata: x"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """One browser for all pages."""
    with chromium.Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def page(browser, server):
    """The page, in a tab of its own."""
    server.upstream._replies.clear()
    return browser.open(server.url)


def test_tokens_come_one_by_one(page, server):
    """Each token is to be seen before the next one is sent; text is shown as it is."""
    gate = Gate()
    server.upstream.enqueue(
        Reply([chunk(SAID), gate, chunk(" and more", finish_reason="stop"), DONE])
    )
    page.ask("Hi")
    page.wait_for(f"document.getElementById('answer').textContent == {SAID!r}")
    gate.open()
    page.wait_for("document.getElementById('state').textContent == 'end_turn'")
    assert page.shown() == (f"{SAID} and more", "end_turn")
    folder = os.environ.get("INFERD_ENGINE_SCREENSHOTS")
    if folder:
        page.screenshot(Path(folder) / f"{server.name}.png")
    page.close()


@pytest.mark.parametrize(
    ("reply", "shown"),
    [
        (Reply([chunk("Hel"), Cut()]), ("Hel", "The answer was cut off.")),
        (error_reply(429, "x"), ("", "The model is busy. Try again in a moment.")),
    ],
    ids=["in the middle", "before"],
)
def test_errors_are_shown(page, server, reply, shown):
    """What fails is told in a sentence, before the answer and in the middle of it."""
    server.upstream.enqueue(reply)
    page.ask("Hi")
    page.wait_for(f"document.getElementById('state').textContent == {shown[1]!r}")
    assert page.shown() == shown
    page.close()


FLOWING = [step for _ in range(400) for step in (chunk("word "), Pause(0.05))]
# The link leads to somebody else: gunicorn's sync worker serves no other page during an answer.
WAYS = {
    "stop button": lambda page, _: page.evaluate("document.forms[0].stop.click()"),
    "tab closed": lambda page, _: page.close(),
    "left by a link": lambda page, url: page.evaluate(f"location.href = '{url}/v1/models'"),
}


def last_asked(upstream):
    """Give the last question; a browser that has followed the link asks for an icon, too."""
    return [received for received in upstream.requests if received.method == "POST"][-1]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("steps", "seconds"),
    [(FLOWING, 0.5), ([chunk("word "), Stall()], HEARTBEAT + 0.5)],
    ids=["tokens flow", "silence"],
)
def test_leaving(page, server, way, steps, seconds, record_property):
    """Whichever way the page is left, the upstream is told."""
    server.upstream.enqueue(Reply(steps))
    page.ask("Hi")
    page.wait_for("document.getElementById('answer').textContent.includes('word')")
    received = last_asked(server.upstream)
    began = time.monotonic()
    WAYS[way](page, server.upstream.url)
    assert received.gone.wait(20)
    took = time.monotonic() - began
    record_property("told", took)
    assert took < seconds + SLACK
    if way == "stop button":
        page.wait_for("document.getElementById('state').textContent == 'Stopped.'")
    if way != "tab closed":
        page.close()


@pytest.mark.parametrize(
    ("steps", "seconds"),
    [(FLOWING, 0.5), ([chunk("word "), Stall()], HEARTBEAT + 0.5)],
    ids=["tokens flow", "silence"],
)
def test_the_browser_is_killed(server, tmp_path, steps, seconds, record_property):
    """A browser that dies takes its answers with it."""
    if server.name not in ("gunicorn gthread", "django uvicorn"):
        pytest.skip("its end is a reset, which is tried with every server elsewhere")
    server.upstream._replies.clear()
    server.upstream.enqueue(Reply(steps))
    with chromium.Browser(tmp_path) as browser:
        page = browser.open(server.url)
        page.ask("Hi")
        page.wait_for("document.getElementById('answer').textContent.includes('word')")
        received = last_asked(server.upstream)
        began = time.monotonic()
        browser.kill()
        assert received.gone.wait(20)
    took = time.monotonic() - began
    record_property("told", took)
    assert took < seconds + SLACK
