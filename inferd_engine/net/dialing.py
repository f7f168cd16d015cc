"""Connect to a host: whichever of its addresses answers first.

Goal: an address that swallows packets (IPv6 that leads nowhere, a dead machine among several) costs
a quarter of a second and not the whole of ``connect_timeout``, and a cancel or a deadline ends it
all at any time.

Strategy: that of RFC 8305 ("Happy Eyeballs"), in the caller's own thread.  The addresses are taken
in the resolver's order, its two families in turn.  One is tried; when it has failed, or has said
nothing for a moment, the next is tried beside it.  The first connection wins, the others are
dropped.  Every attempt has its kill handle before it begins: whoever cancels wakes them all.

A socket whose ``connect`` is not the interpreter's (gevent, eventlet, a proxy or a guard that
somebody has put there) may only be used as its maker meant it: blocking.  There the addresses are
tried one after the other, and each has its share of the time that is left.

Rejected: a thread for each address (nobody may need one to connect), and asking the resolver for
each family apart (as RFC 8305 would have it): ``getaddrinfo`` cannot be interrupted.
"""

from __future__ import annotations

import _socket  # what the interpreter itself put there, whoever has replaced socket's names
import errno
import itertools
import os
import selectors
import socket
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from inferd_engine.net.exchange import Exchange

DELAY = 0.25  # seconds that an address has for itself: RFC 8305, 5, "Connection Attempt Delay"
# What befell an address to which this machine has no way at all, or whose share of the time was up
# (that has no number): it says less than what befell the others.
_DULL = (None, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
# No descriptor of its own, as epoll has; on Windows there is no poll().
_Selector: Any = getattr(selectors, "PollSelector", selectors.SelectSelector)


def dial(
    exchange: Exchange, found: list[Any], options: Iterable[tuple[Any, ...]]
) -> tuple[socket.socket, socket.socket]:
    """Connect to one of these addresses; give the socket, and the handle that ends it.

    Args:
        exchange: Ends it from outside and keeps its deadlines; it has the handle too.
        found: What ``getaddrinfo`` gave.
        options: Arguments of ``setsockopt``.

    Raises:
        ConnectionAbortedError: The exchange was ended.
        TimeoutError: Time is up.
        OSError: No address can be reached.
    """
    addresses = [(kind, address) for kind, *_, address in _interleaved(found)]
    is_raceable = socket.socket.connect is _socket.socket.connect
    dialled = (_race if is_raceable else _try_in_turn)(exchange, addresses, list(options))
    try:
        # For what follows and is not read through the exchange: a handshake, a proxy's answer.
        dialled.sock.settimeout(exchange.deadlines.left_or_raise())
    except BaseException:
        dialled.close()
        raise
    return dialled.sock, dialled.handle


def _interleaved(found: list[Any]) -> Iterator[Any]:
    """Take turns between the families; the first is the resolver's choice (RFC 8305, 4)."""
    families = {address[0]: [item for item in found if item[0] == address[0]] for address in found}
    for row in itertools.zip_longest(*families.values()):
        yield from filter(None, row)


class _Attempt:
    """A socket on its way to an address, and the handle that ends it."""

    def __init__(self, exchange: Exchange, kind: int, options: list[tuple[Any, ...]]) -> None:
        self._exchange = exchange
        self.sock = socket.socket(kind, socket.SOCK_STREAM)
        try:
            self.handle = self.sock.dup()
        except BaseException:
            self.sock.close()
            raise
        try:
            exchange.give_handle(self.handle)
            for option in options:
                self.sock.setsockopt(*option)
        except BaseException:
            self.close()
            raise

    def begin(self, address: Any) -> None:  # a family's own
        """Begin to connect."""
        try:
            self.sock.settimeout(0.0)
            self.sock.connect(address)
        except BlockingIOError:
            pass  # as it has to be
        except BaseException:
            self.close()
            raise

    def connect(self, address: Any, seconds: float | None) -> None:
        """Connect, for so many seconds at the most."""
        try:
            self.sock.settimeout(seconds)
            self.sock.connect(address)
        except BaseException:
            self.close()
            raise

    def error(self) -> OSError | None:
        """Say why it failed, once it is over; None if it did not."""
        number = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return OSError(number, os.strerror(number)) if number else None

    def close(self) -> None:
        self.sock.close()
        self._exchange.withdraw(self.handle)


def _race(exchange: Exchange, addresses: list[Any], options: list[tuple[Any, ...]]) -> _Attempt:
    """Try them beside each other, each a moment after the one before it."""
    failures: list[OSError] = []
    under_way: list[_Attempt] = []
    waiting, next_at = list(addresses), 0.0
    try:
        while waiting or under_way:
            exchange.check()
            if waiting and (not under_way or time.monotonic() >= next_at):
                kind, address = waiting.pop(0)
                next_at = time.monotonic() + DELAY
                try:
                    attempt = _Attempt(exchange, kind, options)
                    attempt.begin(address)
                    under_way.append(attempt)
                except OSError as error:
                    failures.append(error)
                    continue
            seconds = exchange.deadlines.slice_or_raise()
            if waiting:
                seconds = min(seconds, max(0.0, next_at - time.monotonic()))
            for attempt in _over(under_way, seconds):
                exchange.check()  # a handle that was pulled ends an attempt without an error
                under_way.remove(attempt)
                failure = attempt.error()
                if failure is None:
                    return attempt
                attempt.close()
                failures.append(failure)
                next_at = 0.0
    finally:
        for attempt in under_way:
            attempt.close()
    raise _most_telling(failures)


def _over(under_way: list[_Attempt], seconds: float) -> list[_Attempt]:
    """Wait until some of these are connected, or have failed."""
    with _Selector() as selector:
        for attempt in under_way:
            selector.register(attempt.sock, selectors.EVENT_WRITE, attempt)
        return [key.data for key, _ in selector.select(seconds)]


def _try_in_turn(
    exchange: Exchange, addresses: list[Any], options: list[tuple[Any, ...]]
) -> _Attempt:
    """Try one after the other; each has its share of the time that is left."""
    failures: list[OSError] = []
    for number, (kind, address) in enumerate(addresses):
        exchange.check()
        left = exchange.deadlines.left_or_raise()
        share = None if left is None else left / (len(addresses) - number)
        try:
            attempt = _Attempt(exchange, kind, options)
            attempt.connect(address, share)
        except OSError as error:
            exchange.check()  # what a cancel has made of it
            failures.append(error)
        else:
            return attempt
    raise _most_telling(failures)


def _most_telling(failures: list[OSError]) -> OSError:
    """Choose among the failures of all addresses."""
    for failure in failures:
        if failure.errno not in _DULL:
            return failure
    return failures[-1] if failures else OSError("the name has no address")
