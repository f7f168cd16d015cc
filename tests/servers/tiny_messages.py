"""Tests of Messages for any server that runs a tiny model: import them beside a ``backend``."""

from __future__ import annotations

import threading
import time

import inferd_engine as ie


def test_a_tool_is_no_trouble(backend):
    """A history with calls, results and several turns is taken by the model's template."""
    weather = ie.Tool("weather", "What the weather is like")
    call = ie.MessageV2("assistant", [ie.ToolUseBlock("toolu_1", "weather", {"city": "Köln"})])
    history = [ie.user("How is it?"), call, ie.tool_result("toolu_1", "sun"), ie.user("And?")]
    completion = backend.complete(history, tools=[weather], max_tokens=4)
    assert completion.done is not None


def test_close_ends_it(backend):
    """close() from another thread ends the stream at once, and the server is free again."""
    stream = backend.stream("Hello", max_tokens=400)
    next(stream)
    closing = threading.Timer(0.05, stream.close)
    closing.start()
    begin = time.monotonic()
    for _ in stream:
        pass
    closing.join()
    assert stream.cancelled or stream.done is not None
    assert time.monotonic() - begin < 30.0
    assert backend.complete("Hello", max_tokens=2).done is not None


def test_models(backend):
    """The model is listed."""
    assert backend.models() == ["tiny"]
