"""Test your own code against a real upstream on loopback: real sockets, scripted answers, faults.

    from inferd_engine.testing import Upstream, text_reply

    with Upstream(text_reply("Hello!")) as upstream:
        backend = OpenAiCompat(base_url=upstream.url, api_key="")
        assert backend.complete("Hi").text == "Hello!"
        assert upstream.requests[0].json["messages"][-1]["content"] == "Hi"

``Cassette`` records what a real upstream sends and replays it.  Under pytest there are the fixtures
``inferd_upstream``, ``inferd_mock`` and ``inferd_cassette``.

Nothing but the standard library is needed (``Upstream(tls=True)`` makes its certificate with
trustme, extra ``testing``), and nothing leaves the machine but what a cassette records.  Each name
is loaded when it is first asked for: the plugin is imported by every run of pytest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    "inferd_engine.testing.steps": (
        "Action",
        "Cut",
        "Gate",
        "Pause",
        "Reset",
        "Stall",
        "Step",
        "Trickle",
    ),
    "inferd_engine.testing.replies": ("Reply", "event", "json_reply", "raw_reply"),
    "inferd_engine.testing.openai": (
        "DONE",
        "chunk",
        "echo",
        "error_reply",
        "stream_reply",
        "text_reply",
        "tool_call_reply",
    ),
    "inferd_engine.testing.quirk_table": ("quirk_reply", "quirks"),
    "inferd_engine.testing.upstream": ("Upstream",),
    "inferd_engine.testing.received": ("Received",),
    "inferd_engine.testing.peer": ("Peer",),
    "inferd_engine.testing.cassette": ("Cassette", "CassetteError"),
    "inferd_engine.testing.contract": ("BackendContract",),
    "inferd_engine.testing.scripted": ("script_reply",),
    "inferd_engine.testing.fast_forward": ("FastForward",),
    "inferd_engine.testing.conversion": ("cassette_from_har", "cassette_from_vcrpy"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [*_HOME_OF]  # noqa: PLE0604 - they are all str


if not TYPE_CHECKING:  # with it in sight, every name would be there for a type checker

    def __getattr__(name: str) -> Any:  # whatever has that name
        """Load a public name when it is first asked for."""
        home = _HOME_OF.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(home), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:
    from inferd_engine.testing.cassette import (
        Cassette as Cassette,
        CassetteError as CassetteError,
    )
    from inferd_engine.testing.contract import BackendContract as BackendContract
    from inferd_engine.testing.conversion import (
        cassette_from_har as cassette_from_har,
        cassette_from_vcrpy as cassette_from_vcrpy,
    )
    from inferd_engine.testing.fast_forward import FastForward as FastForward
    from inferd_engine.testing.openai import (
        DONE as DONE,
        chunk as chunk,
        echo as echo,
        error_reply as error_reply,
        stream_reply as stream_reply,
        text_reply as text_reply,
        tool_call_reply as tool_call_reply,
    )
    from inferd_engine.testing.peer import Peer as Peer
    from inferd_engine.testing.quirk_table import quirk_reply as quirk_reply, quirks as quirks
    from inferd_engine.testing.received import Received as Received
    from inferd_engine.testing.replies import (
        Reply as Reply,
        event as event,
        json_reply as json_reply,
        raw_reply as raw_reply,
    )
    from inferd_engine.testing.scripted import script_reply as script_reply
    from inferd_engine.testing.steps import (
        Action as Action,
        Cut as Cut,
        Gate as Gate,
        Pause as Pause,
        Reset as Reset,
        Stall as Stall,
        Step as Step,
        Trickle as Trickle,
    )
    from inferd_engine.testing.upstream import Upstream as Upstream
