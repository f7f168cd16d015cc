"""A prompt of a batch as a request: in any shape that a call takes, or with fields of its own.

A line of a file of prompts is a text, a list of messages, or an object: one message if it has a
``role``, else a request, which has ``prompt`` or ``messages`` and any field of ``RequestV2``.  What
a request leaves open is what was said for all.
"""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import attrs

from inferd_engine.backends.settings import close_to
from inferd_engine.proto.fields import RequestFields
from inferd_engine.proto.v2 import RequestV2, system as system_message
from inferd_engine.proto.values import refuse
from inferd_engine.wire.openai.prompts import request_from

if TYPE_CHECKING:
    from collections.abc import Mapping

_DIGEST_BYTES = 16
_PROBE = "?"  # any text will do


class Asking:
    """Makes the requests of one batch, and tells them apart.

    Args:
        system: Put in front of every prompt that has none of its own; None for nothing.
        fields: Of each request.

    Raises:
        InvalidRequestError: The fields cannot be sent with any prompt.
    """

    def __init__(self, system: str | None, fields: RequestFields) -> None:
        self._system = system
        self._fields = fields
        probe = request_from(_PROBE, system, fields)
        probe.resolve()
        self._seed = blake2b(_canonical(probe), digest_size=_DIGEST_BYTES)

    def request(self, prompt: Any) -> RequestV2:
        """Return the request of a prompt.

        Raises:
            InvalidRequestError: The prompt has another shape; the message names the place.
        """
        if isinstance(prompt, RequestV2):
            return self._completed(prompt)
        if not isinstance(prompt, dict) or "role" in prompt:
            return request_from(prompt, self._system, self._fields)
        if "prompt" not in prompt and "messages" not in prompt:
            refuse(
                "the prompt", "has neither 'prompt' nor 'messages', nor a 'role' as messages have"
            )
        own = dict(prompt)
        for name in own:
            if name not in _OWN:
                meant = "".join(f": did you mean {word!r}?" for word in close_to(name, _OWN))
                refuse("the prompt", f"has a field {name!r} that no request has{meant}")
        asked = own.pop("prompt" if "prompt" in own else "messages")
        if "messages" in own:
            refuse("the prompt", "has both 'prompt' and 'messages': give one of them")
        system = own.pop("system", self._system)
        return request_from(asked, system, {**self._fields, **own})

    def _completed(self, request: RequestV2) -> RequestV2:
        """Return a request with what was said for all, where it leaves that open."""
        blank = {field.name: field.default for field in attrs.fields(RequestV2)}
        open_fields: dict[str, Any] = {
            name: value
            for name, value in self._fields.items()
            if not getattr(request, name) or getattr(request, name) == blank[name]
        }
        if self._system is not None:
            open_fields["messages"] = (system_message(self._system), *request.messages)
        return attrs.evolve(request, **open_fields) if open_fields else request

    def digest(self, prompt: Any) -> str:
        """Return what tells a prompt, with all that is asked with it, from every other.

        Raises:
            InvalidRequestError: The prompt has another shape.
        """
        told = self._seed.copy()
        if isinstance(prompt, str):
            told.update(prompt.encode("utf-8", "surrogatepass"))
        else:
            told.update(b"\0")
            told.update(_canonical(self.request(prompt)))
        return told.hexdigest()


_OWN = frozenset({*RequestFields.__annotations__, "prompt", "messages", "system"})


def _canonical(request: RequestV2) -> bytes:
    """Return a request as bytes that are the same for the same request, whatever its id."""
    data: Mapping[str, Any] = {**request.to_dict(), "id": ""}
    return json.dumps(data, sort_keys=True, default=repr).encode()
