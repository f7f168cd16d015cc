"""What a reply is made of: bytes, and what happens between them.

Bytes are sent as they are.  Everything else is an ``Action``, which knows how it is taken: it
waits, it sends in a way of its own, or it ends the connection.  An action of your own is a subclass
with one method::

    class Hiccup(Action):
        def take(self, peer):
            peer.send(b'data: {"choices": [{"delta": {"content": "a')
            peer.wait(0.2)
"""

from __future__ import annotations

import abc
import dataclasses
import socket
from typing import TYPE_CHECKING, Any, Union

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inferd_engine.testing.peer import Peer


class Action(abc.ABC):
    """Something that happens between the bytes of a reply."""

    size: int | None = 0
    """Bytes that it adds to the body; None: it never stops adding."""

    @abc.abstractmethod
    def take(self, peer: Peer) -> None:
        """Do it, with ``peer.send()``, ``peer.wait()`` and ``peer.leave()``.

        Args:
            peer: The client's end of the connection.
        """


Step = Union[bytes, Action]


@dataclasses.dataclass(frozen=True)
class Pause(Action):
    """Wait for a number of seconds, or until the client goes."""

    seconds: float

    def __post_init__(self) -> None:
        check_seconds(self.seconds, "Pause.seconds")

    def take(self, peer: Peer) -> None:
        """Wait."""
        peer.wait(self.seconds)


class Gate(Action):
    """Wait until the test calls ``open()``, or until the client goes."""

    def __init__(self) -> None:
        self.reader, self._writer = socket.socketpair()

    def __repr__(self) -> str:
        return f"<Gate {'open' if self._writer.fileno() < 0 else 'shut'}>"

    def open(self) -> None:
        """Let the reply go on; from any thread."""
        self._writer.close()

    def take(self, peer: Peer) -> None:
        """Wait until it is open."""
        peer.wait(None, self.reader)

    def __del__(self) -> None:
        self.reader.close()
        self._writer.close()


@dataclasses.dataclass(frozen=True)
class Stall(Action):
    """Say nothing until the client goes."""

    def take(self, peer: Peer) -> None:
        """Wait for the client to go."""
        peer.wait(None)


@dataclasses.dataclass(frozen=True)
class Cut(Action):
    """Close the connection here, in the middle of whatever it is."""

    def take(self, peer: Peer) -> None:
        """Close it."""
        peer.leave()


@dataclasses.dataclass(frozen=True)
class Reset(Action):
    """Reset the connection here (RST): what the client has not read yet may be lost."""

    def take(self, peer: Peer) -> None:
        """Reset it."""
        peer.leave(reset=True)


@dataclasses.dataclass(frozen=True)
class Trickle(Action):
    """Send bytes one at a time, so many seconds apart; over and over if ``forever``."""

    data: bytes = dataclasses.field(repr=False)
    seconds: float
    forever: bool = False

    def __post_init__(self) -> None:
        check_seconds(self.seconds, "Trickle.seconds")
        if not isinstance(self.data, bytes):
            raise TypeError(f"Trickle.data is {kind_of(self.data)}, not bytes")
        if self.forever and not self.data:
            raise ValueError("Trickle.data is empty: forever needs something to send")

    @property
    def size(self) -> int | None:  # type: ignore[override] # a fixed number for all others
        """Bytes that it adds to the body."""
        return None if self.forever else len(self.data)

    def take(self, peer: Peer) -> None:
        """Send byte by byte."""
        while True:
            for byte in self.data:
                peer.send(bytes([byte]))
                peer.wait(self.seconds)
            if not self.forever:
                return


# --- what is refused when it is made -------------------------------------------------------------

_TOO_LONG = 1e9  # seconds, thirty years: about what select() still takes


def check_seconds(value: object, place: str) -> None:
    """Refuse what nobody can wait for.

    Raises:
        TypeError: It is not a number.
        ValueError: It is negative, or has no end: that is ``Stall()``.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{place} is {kind_of(value)}, not a number of seconds")
    if not 0 <= value <= _TOO_LONG:  # NaN as well
        raise ValueError(f"{place} is {value}: give seconds from 0 up, or Stall() for no end")


def checked_steps(steps: Iterable[Any], place: str) -> tuple[Step, ...]:
    """Return the steps of a reply.

    Raises:
        TypeError: One of them is neither bytes nor an action.
    """
    if isinstance(steps, (bytes, str, Action)):
        raise TypeError(f"{place} is {kind_of(steps)}, not a list of steps: put it in a list")
    try:
        taken = tuple(steps)
    except TypeError:
        raise TypeError(f"{place} is {kind_of(steps)}, not a list of steps") from None
    for number, step in enumerate(taken):
        if not isinstance(step, (bytes, Action)):
            raise TypeError(
                f"{place}[{number}] is {kind_of(step)}, not bytes or an action{_advice(step)}"
            )
    return taken


def kind_of(value: object) -> str:
    """Return what a value is, for a sentence: ``"a str"``, ``"the class Stall"``."""
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def _advice(step: object) -> str:
    if isinstance(step, type):
        return f": write {step.__name__}()"
    if isinstance(step, str):
        return ": use chunk() for text of an answer, .encode() for bytes as they are"
    return ""
