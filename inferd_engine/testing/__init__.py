"""Test your own code against a real upstream on loopback: real sockets, scripted answers, faults.

    from inferd_engine.testing import Upstream, text_reply

    with Upstream(text_reply("Hello!")) as upstream:
        backend = OpenAiCompat(base_url=upstream.url, api_key="")
        assert backend.complete("Hi").text == "Hello!"
        assert upstream.requests[0].json["messages"][-1]["content"] == "Hi"

Nothing but the standard library is needed (``Upstream(tls=True)`` makes its certificate with
trustme, extra ``testing``), and nothing leaves the machine.
"""

from inferd_engine.testing.openai import (
    DONE,
    chunk,
    echo,
    error_reply,
    stream_reply,
    text_reply,
    tool_call_reply,
)
from inferd_engine.testing.peer import Peer
from inferd_engine.testing.received import Received
from inferd_engine.testing.replies import Reply, event, json_reply, raw_reply
from inferd_engine.testing.steps import Action, Cut, Gate, Pause, Reset, Stall, Step, Trickle
from inferd_engine.testing.upstream import Upstream

__all__ = [
    "DONE",
    "Action",
    "Cut",
    "Gate",
    "Pause",
    "Peer",
    "Received",
    "Reply",
    "Reset",
    "Stall",
    "Step",
    "Trickle",
    "Upstream",
    "chunk",
    "echo",
    "error_reply",
    "event",
    "json_reply",
    "raw_reply",
    "stream_reply",
    "text_reply",
    "tool_call_reply",
]
