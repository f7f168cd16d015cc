"""Collect tool calls from their pieces, whoever cut them.

Goal: whole calls at the end of the answer, whatever a server does with ``index``, ``id`` and
``name``.  One rule places a piece (``_place``): a new id that comes with a name begins a call;
else the index tells, else the id, else it belongs to the call before.  A new index is no new call
where the piece has the id and the name of a call that it goes on with; a piece without a name, at
an index of its own, goes to the call before if that has no arguments yet (``_joined``).

Calls are finished only at the end: arguments that parse early may still grow, and a call that was
acted on cannot be taken back.  An index is a key, never a size.  What a call may cost is bounded
by bytes, with a flat charge for each, so that a million empty calls end as well.

A ``custom`` call has text for an input, which is given as it is; ``ToolUse.extra`` tells its type,
so that it goes back as what it was.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from inferd_engine.errors import ToolCallMalformedError
from inferd_engine.events import ToolUse
from inferd_engine.wire.answer.tool_arguments import read_arguments
from inferd_engine.wire.answer.tool_calls import CALL_CHARGE, UniqueIds
from inferd_engine.wire.text.json_documents import is_worth_trying, parse_json
from inferd_engine.wire.text.json_shapes import object_in, whole_number
from inferd_engine.wire.text.printable import printable
from inferd_engine.wire.text.surrogates import join_surrogates

if TYPE_CHECKING:
    from collections.abc import Iterator

_INDEX_CHARGE = 128  # bytes that another index of a call costs
CUSTOM = "custom"


class _Call:
    """One call while its pieces come in."""

    __slots__ = ("extra", "id", "is_custom", "name", "parts", "size", "tried")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.is_custom = False
        self.parts: list[str] = []
        self.extra: dict[str, Any] = {}
        self.size = 0
        self.tried = 0

    def take(self, call_id: str, name: str, arguments: Any) -> int:
        """Add a piece; give the bytes that it costs."""
        self.id = self.id or call_id
        if not self.name:
            self.name = name
        elif name and name != self.name and not self.parts:
            # A name in pieces; some servers send what they have so far instead.
            self.name = name if name.startswith(self.name) else self.name + name
        if arguments is None or arguments == "":
            return len(name)
        if isinstance(arguments, list) and len(arguments) == 1:
            arguments = arguments[0]  # an object in the place of one
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        self.parts.append(text)
        self.size += len(text)
        return len(name) + len(text)

    @property
    def is_blank(self) -> bool:
        """Whether there are no arguments so far."""
        return not any(map(str.strip, self.parts))

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

    def goes_on_with(self, name: str, arguments: Any) -> bool:
        """Whether a piece with this call's id, but an index of its own, is this call's."""
        if name and name != self.name:
            return False
        if self.is_blank or _is_blank(arguments):
            return True
        begins = isinstance(arguments, str) and arguments.lstrip().startswith("{")
        so_far = "".join(self.parts)
        return not self.is_whole() and (not begins or arguments.startswith(so_far))

    def read(self) -> Any:
        """Decode the input.

        Raises:
            ValueError: It is no JSON, or there is no name.
        """
        if not self.name:
            raise ValueError("a tool call without a name")
        return (
            join_surrogates("".join(self.parts)) if self.is_custom else read_arguments(self.parts)
        )


class ToolCalls:
    """The calls of one answer, in the order in which they began."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}
        self.size = 0

    def __bool__(self) -> bool:
        return bool(self._calls)

    def take(self, entry: dict[str, Any]) -> None:
        """Take one entry of a delta's ``tool_calls``."""
        function, custom = object_in(entry.get("function")), object_in(entry.get(CUSTOM))
        if not function and not custom:
            function = entry  # its name and arguments without an object around them
        call_id = _text(entry.get("id"))
        name = _text(function.get("name")) or _text(custom.get("name"))
        arguments, extra = function.get("arguments"), entry.get("extra_content")
        is_custom = not function and bool(custom)
        if is_custom:
            arguments = custom.get("input")
        if not (call_id or name or arguments or extra):
            return  # a trailing piece that says nothing
        call = self._place(whole_number(entry.get("index")), call_id, name, arguments)
        call.is_custom = call.is_custom or is_custom
        if extra:
            self._keep_extra(call, extra)
        self.size += len(call_id) + call.take(call_id, name, arguments)
        if call_id and call.id == call_id:
            self._by_id[call_id] = call

    def take_extra(self, extra: Any) -> None:
        """Take what a delta of its own wants sent back with the last call."""
        if self._calls and extra:
            self._keep_extra(self._calls[-1], extra)

    def keep_with_first(self, name: str, value: Any) -> None:
        """Keep what the whole answer wants sent back, with its first call."""
        if self._calls and value:
            self._calls[0].extra[name] = value

    def _keep_extra(self, call: _Call, extra: Any) -> None:
        call.extra["extra_content"] = extra
        self.size += len(json.dumps(extra))

    def _place(self, index: int | None, call_id: str, name: str, arguments: Any) -> _Call:
        """Find the call that a piece belongs to, or begin it."""
        known = self._by_id.get(call_id)
        if index is not None:
            call = self._by_index.get(index)
            if call is None and known is not None and known.goes_on_with(name, arguments):
                self._by_index[index] = known
                self.size += _INDEX_CHARGE
                return known
        else:
            call = known
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

    def _begins_another(
        self, call: _Call, index: int | None, call_id: str, name: str, *, says_something: bool
    ) -> bool:
        if not name:
            return False  # whatever the id: the piece goes where its index or its place says
        if call_id and call.id:
            return call_id != call.id or (name != call.name and call.is_whole())
        if call.name and index is None and name != call.name:
            return True
        if name == call.name and not call_id and not says_something:
            return False  # the name is on every piece, also on one that adds nothing
        if not call.name:
            return call.is_whole() and self._owner_of(call) is not None
        return call.is_whole()

    def _owner_of(self, call: _Call) -> _Call | None:
        """Return the call before that waits for arguments, if these are what it waits for."""
        place = self._calls.index(call)
        before = self._calls[place - 1] if place else None
        return before if before is not None and before.name and before.is_blank else None

    def _joined(self) -> Iterator[_Call]:
        """Yield the calls; arguments that came under an index of their own are their owner's."""
        last: _Call | None = None
        for call in self._calls:
            is_piece = not call.name and not call.is_blank
            if last is not None and is_piece and (last.is_blank or not last.is_whole()):
                last.parts += call.parts
                last.size += call.size
                last.extra = {**last.extra, **call.extra}
                continue
            if last is not None:
                yield last
            last = call
        if last is not None:
            yield last

    def finish(self, *, cut: bool) -> Iterator[tuple[ToolUse, int]]:
        """Yield the whole calls, each with its size in bytes, decoded when it is asked for.

        Args:
            cut: The answer was cut by a limit: a call that may not be whole is left out.

        Raises:
            ToolCallMalformedError: A call's arguments are no JSON; the calls before it were given.
        """
        shared = {call_id for call_id, n in Counter(c.id for c in self._calls).items() if n > 1}
        given: set[tuple[str, str, str]] = set()
        ids = UniqueIds()
        for number, call in enumerate(self._joined()):
            call_id = ids.unique(join_surrogates(call.id) or f"call_{number}")
            if call.id and call.id in shared:
                whole = (call.id, call.name, "".join(call.parts))
                if whole in given:
                    continue  # the same call once more
                given.add(whole)
            use = self._use_of(call, call_id, cut=cut)
            if use is not None:
                yield use, call.size

    def _use_of(self, call: _Call, call_id: str, *, cut: bool) -> ToolUse | None:
        if cut and (call.is_blank or (call.is_custom and call is self._calls[-1])):
            return None  # cut before its first argument, or nobody knows where
        try:
            value = call.read()
        except ValueError as error:
            if cut:
                return None
            arguments = join_surrogates("".join(call.parts))
            what = f"{printable(call.name)!r} are not JSON" if call.name else "have no name"
            raise ToolCallMalformedError(
                f"the arguments of tool call {what}: {printable(arguments, 200)!r}",
                tool_call_id=call_id,
                name=call.name,
                arguments=arguments,
            ) from error
        if cut and not (call.is_custom or isinstance(value, dict)):
            return None  # the beginning of a number is a number
        extra = {**call.extra, "type": CUSTOM} if call.is_custom else call.extra
        return ToolUse(call_id, join_surrogates(call.name), value, extra)


def _is_blank(arguments: Any) -> bool:
    return not (arguments.strip() if isinstance(arguments, str) else arguments)


def _text(value: Any) -> str:
    """Return an id or a name; the word null, which some servers write for null, is none."""
    if isinstance(value, str):
        return "" if value in ("null", "None") else value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""
