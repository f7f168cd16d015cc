"""Collect tool calls from their pieces, whoever cut them.

Goal: whole calls at the end of the answer, whatever a server does with ``index``, ``id`` and
``name``.  One rule places a piece (``_place``): a new id that comes with a name begins a call;
else the index tells, else the id, else it belongs to the call before.  One rule reads the
arguments (``read_arguments``): the pieces joined; if that is no JSON, the shapes that servers are
known to send instead.

Calls are finished only at the end: arguments that parse early may still grow, and a call that was
acted on cannot be taken back.  An index is a key, never a size.  What a call may cost is bounded
by bytes, with a flat charge for each, so that a million empty calls end as well.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import TYPE_CHECKING, Any

from inferd_engine.errors import ToolCallMalformedError
from inferd_engine.events import ToolUse
from inferd_engine.wire.json_documents import is_worth_trying, parse_json
from inferd_engine.wire.openai_errors import printable
from inferd_engine.wire.surrogates import join_surrogates, joined_in_value

if TYPE_CHECKING:
    from collections.abc import Iterator

CALL_CHARGE = 1024  # bytes that a call costs before its first argument: about what Python takes


class _Call:
    """One call while its pieces come in."""

    __slots__ = ("extra", "id", "name", "parts", "size", "tried")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.parts: list[str] = []
        self.extra: dict[str, Any] = {}
        self.size = 0
        self.tried = 0

    def take(self, call_id: str, name: str, arguments: Any) -> int:  # noqa: ANN401 - JSON
        """Add a piece; give the bytes that it costs."""
        self.id = self.id or call_id
        if not self.name:
            self.name = name
        elif name and name != self.name and not self.parts:
            # A name in pieces; some servers send what they have so far instead.
            self.name = name if name.startswith(self.name) else self.name + name
        if arguments is None or arguments == "":
            return len(name)
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        self.parts.append(text)
        self.size += len(text)
        return len(name) + len(text)

    def is_whole(self) -> bool:
        """Whether the arguments so far are a JSON object; the work is bounded by what came."""
        if not self.parts or not self.parts[-1].rstrip().endswith("}"):
            return False
        self.tried += self.size
        if not is_worth_trying(self.tried, self.size):
            return False
        try:
            return isinstance(parse_json("".join(self.parts)), dict)
        except ValueError:
            return False


class ToolCalls:
    """The calls of one answer, in the order in which they began."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}
        self.size = 0

    def __bool__(self) -> bool:
        return bool(self._calls)

    def take(self, entry: Any) -> None:  # noqa: ANN401 - JSON
        """Take one entry of a delta's ``tool_calls``."""
        if not isinstance(entry, dict):
            return
        function = entry.get("function")
        function = function if isinstance(function, dict) else {}
        call_id, name = _text(entry.get("id")), _text(function.get("name"))
        arguments, extra = function.get("arguments"), entry.get("extra_content")
        if not (call_id or name or arguments or extra):
            return  # a trailing piece that says nothing
        call = self._place(_index(entry.get("index")), call_id, name, arguments)
        if extra:
            self._keep_extra(call, extra)
        self.size += len(call_id) + call.take(call_id, name, arguments)
        if call_id and call.id == call_id:
            self._by_id[call_id] = call

    def take_function_call(self, function: Any) -> None:  # noqa: ANN401 - JSON
        """Take the one call of the old ``function_call`` field."""
        if isinstance(function, dict):
            self.take({"index": 0, "function": function})

    def take_extra(self, extra: Any) -> None:  # noqa: ANN401 - JSON
        """Take what a delta of its own wants sent back with the last call."""
        if self._calls and extra:
            self._keep_extra(self._calls[-1], extra)

    def keep_with_first(self, name: str, value: Any) -> None:  # noqa: ANN401 - JSON
        """Keep what the whole answer wants sent back, with its first call."""
        if self._calls and value:
            self._calls[0].extra[name] = value

    def _keep_extra(self, call: _Call, extra: Any) -> None:  # noqa: ANN401 - JSON
        call.extra["extra_content"] = extra
        self.size += len(json.dumps(extra))

    def _place(self, index: int | None, call_id: str, name: str, arguments: Any) -> _Call:  # noqa: ANN401
        """Find the call that a piece belongs to, or begin it."""
        if index is not None:
            call = self._by_index.get(index)
        else:
            call = self._by_id.get(call_id)
            if call is None and self._calls and not (call_id and name):
                call = self._calls[-1]
        if call is None or self._begins_another(
            call, index, call_id, name, says_something=not _is_blank(arguments)
        ):
            call = _Call()
            self._calls.append(call)
            self.size += CALL_CHARGE
        if index is not None:
            self._by_index[index] = call
        return call

    @staticmethod
    def _begins_another(
        call: _Call, index: int | None, call_id: str, name: str, *, says_something: bool
    ) -> bool:
        if not name:
            return False  # whatever the id: the piece goes where its index or its place says
        if call_id and call.id:
            return call_id != call.id or (name != call.name and call.is_whole())
        if call.name and index is None and name != call.name:
            return True
        if name == call.name and not call_id and not says_something:
            return False  # the name is on every piece, also on one that adds nothing
        return bool(call.name) and call.is_whole()

    def finish(self, *, cut: bool) -> Iterator[tuple[ToolUse, int]]:
        """Give the whole calls, each with its size in bytes, decoded when it is asked for.

        Args:
            cut: The answer was cut by a limit: a call that does not parse is left out.

        Raises:
            ToolCallMalformedError: A call's arguments are no JSON; the calls before it were given.
        """
        ids: set[str] = set()
        repeats: dict[str, int] = {}  # how often an id was given before
        for number, call in enumerate(self._calls):
            arguments = join_surrogates("".join(call.parts))
            call_id = own_id = join_surrogates(call.id) or f"call_{number}"
            while call_id in ids:
                repeats[own_id] = repeats.get(own_id, 0) + 1
                call_id = f"{own_id}_{repeats[own_id]}"
            ids.add(call_id)
            if cut and not arguments:
                continue  # cut before its first argument
            try:
                value = _read_call(call)
            except ValueError as error:
                if cut:
                    continue
                what = f"{printable(call.name)!r} are no JSON" if call.name else "have no name"
                raise ToolCallMalformedError(
                    f"the arguments of tool call {what}: {printable(arguments, 200)!r}",
                    tool_call_id=call_id,
                    name=call.name,
                    arguments=arguments,
                ) from error
            yield ToolUse(call_id, join_surrogates(call.name), value, call.extra), call.size


def _is_blank(arguments: Any) -> bool:  # noqa: ANN401 - JSON
    return not (arguments.strip() if isinstance(arguments, str) else arguments)


def _text(value: Any) -> str:  # noqa: ANN401 - JSON
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _index(value: Any) -> int | None:  # noqa: ANN401 - JSON
    if isinstance(value, str) and value.isdecimal() and len(value) < 20:  # noqa: PLR2004 - 64 bit
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _read_call(call: _Call) -> Any:  # noqa: ANN401 - JSON
    if not call.name:
        msg = "a tool call without a name"
        raise ValueError(msg)
    return read_arguments(call.parts)


def read_arguments(parts: list[str]) -> Any:  # noqa: ANN401 - JSON
    """Decode a call's arguments from the pieces in which they came.

    Nothing at all is ``{}``.  A string that holds JSON is decoded once more.

    Raises:
        ValueError: They are no JSON; two different documents in a row are not guessed apart.
    """
    text = "".join(parts).strip()
    if not text or text == "null":
        return {}
    try:
        value = parse_json(text)
    except ValueError:
        value = parse_json(_sent_again(parts, text))
    if isinstance(value, str):
        with contextlib.suppress(ValueError):  # a tool may take a plain string
            value = parse_json(value) if value.strip() else {}
    return joined_in_value(value)


def _sent_again(parts: list[str], text: str) -> str:
    """Give the one document in arguments that were sent more than once, or the text as it is."""
    with contextlib.suppress(ValueError, RecursionError):
        _, end = json.JSONDecoder(strict=False).raw_decode(text)
        if text == text[:end] * (len(text) // end):
            return text[:end]
    parts = [part for part in parts if part.strip()]
    last = parts[-1]
    if all(after.startswith(before) for before, after in itertools.pairwise(parts)):
        return last  # each piece is all so far
    if "".join(parts[:-1]).strip() == last.strip():
        return last  # in pieces, then once more as a whole
    return text
