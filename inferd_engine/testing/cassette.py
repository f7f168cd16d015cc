"""Record what a real upstream sends, once, and replay it in every test from then on.

    with Cassette("cassettes/sky.jsonl", upstream="https://api.openai.com") as cassette:
        backend = ie.OpenAiCompat(base_url=cassette.url, model="gpt-4o-mini")
        assert "scatter" in backend.complete("Why is the sky blue?").text

A cassette is a server on loopback that stands in the upstream's place, so it works for every client
in every language, and nothing is patched.  It keeps what recorders inside of a client cannot see:
where the upstream's chunks begin and end, when they came, and whether the connection was cut.

What cannot be answered from the cassette is refused loudly: the client gets an error at once, and
leaving the cassette raises one.  A cassette that replays never asks the network.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from inferd_engine.testing import tape
from inferd_engine.testing.matching import difference
from inferd_engine.testing.raw_answers import refusal
from inferd_engine.testing.recorder import Address, Recording
from inferd_engine.testing.replay import Replay, Split
from inferd_engine.testing.replies import Reply
from inferd_engine.testing.scrubbing import Scrubber, comparable, without_accounts
from inferd_engine.testing.upstream import Upstream

if TYPE_CHECKING:
    import os
    from types import TracebackType

    from typing_extensions import Self

    from inferd_engine.testing.received import Received

Mode = Literal["once", "record", "replay"]


class CassetteError(AssertionError):
    """Record the cassette anew, or mend the test: it asked for something that was not recorded."""


class Cassette:
    """Stand in for an upstream: record what it sends, or replay what was recorded.

    Args:
        path: The file, JSON lines; folders are made.
        upstream: The base URL of the real upstream, as the client would be given it; wanted for
            recording.
        mode: ``"once"`` replays if the file is there and records if it is not, ``"record"`` records
            anew, ``"replay"`` never asks the network.
        speed: Replay so many times as fast as it was recorded; 0 waits for nothing.
        split: Replay the chunks as ``"recorded"``, in single ``"bytes"``, or the ``"whole"`` body
            in one.

    Raises:
        ValueError: An argument is not one of these.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        upstream: str | None = None,
        mode: Mode = "once",
        speed: float = 0.0,
        split: Split = "recorded",
    ) -> None:
        self.path = Path(path)
        if mode not in get_args(Mode):
            raise ValueError(f"mode is one of {', '.join(get_args(Mode))}, not {mode!r}")
        if split not in get_args(Split):
            raise ValueError(f"split is one of {', '.join(get_args(Split))}, not {split!r}")
        if not isinstance(speed, (int, float)) or not 0 <= speed < float("inf"):
            raise ValueError(f"speed is how many times as fast as recorded, or 0, not {speed!r}")
        if mode == "record" and upstream is None:
            raise ValueError("mode='record' wants upstream=: the base URL of the real upstream")
        self._address = None if upstream is None else Address(upstream)
        self._mode: Mode = mode
        self._speed, self._split = speed, split
        self._server: _Server | None = None
        self._deck: _Recorder | _Player | None = None

    def __repr__(self) -> str:
        return f"<Cassette {self.path} {'records' if self.is_recording else self._mode}>"

    @property
    def url(self) -> str:
        """The base URL to give to the client, in place of the upstream's.

        Raises:
            RuntimeError: The cassette was not entered.
        """
        if self._server is None or self._deck is None:
            raise RuntimeError("the cassette has an address inside of its with block")
        return self._server.url + self._deck.base

    @property
    def is_recording(self) -> bool:
        """Whether it asks the real upstream."""
        return isinstance(self._deck, _Recorder)

    def __enter__(self) -> Self:
        if self._server is None:
            self._deck = self._make_deck()
            self._server = _Server(self._deck)
            self._server.__enter__()
        return self

    def _make_deck(self) -> _Recorder | _Player:
        is_there = self.path.exists()
        may_record = self._mode == "record" or (self._mode == "once" and not is_there)
        if may_record and self._address is not None:
            return _Recorder(self.path, self._address)
        if not is_there:
            raise FileNotFoundError(
                f"there is no cassette {self.path}: record it, with upstream= and mode='once'"
            )
        return _Player(self.path, self._speed, self._split)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()
        if error is None or isinstance(error, Exception):
            self.check()

    def close(self) -> None:
        """Stop serving, write what was recorded, and tell of what could not be answered.

        Raises:
            CassetteError: A request was not on the cassette, or could not be recorded.
        """
        self.__exit__(None, None, None)

    @property
    def missed(self) -> tuple[str, ...]:
        """What could not be answered so far, a sentence each."""
        return () if self._deck is None else tuple(self._deck.failures)

    def check(self) -> None:
        """Tell, once, of what could not be answered so far.

        Raises:
            CassetteError: A request was not on the cassette, or could not be recorded.
        """
        if self._deck is not None and self._deck.failures:
            failures, self._deck.failures = self._deck.failures, []
            said = "\n".join(dict.fromkeys(failures))
            anew = (
                "" if self.is_recording else "\n(mode='record', or pytest --inferd-record, records)"
            )
            raise CassetteError(f"{self.path}: {said}{anew}")

    def _stop(self) -> None:
        if self._server is not None and self._deck is not None:
            server, self._server = self._server, None
            server.close()
            self._deck.finish()


class _Server(Upstream):
    """Serve a deck instead of replies."""

    def __init__(self, deck: _Recorder | _Player) -> None:
        super().__init__()
        self._deck = deck

    def _reply_to(self, received: Received) -> Reply:
        return self._deck.reply(received)


class _Recorder:
    """Pass every request on, and write the file when it is finished."""

    def __init__(self, path: Path, address: Address) -> None:
        self.failures: list[str] = []
        self._path = path
        self._address = address
        self._scrubber = Scrubber()
        self._scrubber.learn_query(address.query)
        self._recordings: list[Recording] = []

    @property
    def base(self) -> str:
        return self._address.path

    def reply(self, received: Received) -> Reply:
        request = _asked(received)
        self._scrubber.learn_headers(received.headers)
        self._scrubber.learn_query(received.path.partition("?")[2])
        self._scrubber.learn_body(request.body)
        recording = Recording(self._address, received, comparable(request), self._scrubber)
        self._recordings.append(recording)
        return Reply([recording], framing="raw")

    def finish(self) -> None:
        """Write the file, unless there is nothing, or not all of it, to be written."""
        self.failures += [recording.failure for recording in self._recordings if recording.failure]
        if self.failures or not self._recordings:
            return
        done = [recording.interaction for recording in self._recordings]
        for interaction in done:
            interaction.request = self._scrubber.request(interaction.request)
            interaction.chunks = self._scrubber.chunks(interaction.chunks)
            if interaction.response is not None:
                interaction.response.headers = self._scrubber.headers(interaction.response.headers)
        tape.write(self._path, without_accounts(self._scrubber.text(self.base)), done)


class _Player:
    """Answer every request with what was recorded for it, in the order of the recording."""

    def __init__(self, path: Path, speed: float, split: Split) -> None:
        self.failures: list[str] = []
        self.base, self._left = tape.read(path)
        self._played: list[tape.Interaction] = []
        self._lock = threading.Lock()
        self._speed, self._split = speed, split

    def reply(self, received: Received) -> Reply:
        request = comparable(_asked(received))
        with self._lock:
            for interaction in self._left:
                if interaction.request.matches(request):
                    self._left.remove(interaction)
                    self._played.append(interaction)
                    fail = self.failures.append
                    replay = Replay(interaction, self._speed, self._split, fail)
                    return Reply([replay], framing="raw")
            failure = self._why_not(request)
        self.failures.append(failure)
        return Reply([refusal(failure)], framing="raw")

    def _why_not(self, request: tape.Request) -> str:
        """Say what comes closest to a request that was not recorded."""
        asked = f"{request.method} {request.path}"
        if times := sum(played.request.matches(request) for played in self._played):
            return f"{asked} was recorded {times} times, and asked for once more"
        everything = [interaction.request for interaction in (*self._left, *self._played)]
        alike = [one for one in everything if f"{one.method} {one.path}" == asked]
        if not alike:
            known = ", ".join(sorted({f"{one.method} {one.path}" for one in everything}))
            return f"{asked} was not recorded: the cassette has {known or 'nothing'}"
        place = difference(alike[0].meant, request.meant) or "the body"
        return f"{asked} was not recorded like this: it differs from what was in {place}"

    def finish(self) -> None:
        """Nothing is to be written."""


def _asked(received: Received) -> tape.Request:
    """Give a client's request."""
    body: Any = None
    if received.body:
        try:
            body = json.loads(received.body)
        except ValueError:
            body = received.body.decode("utf-8", "backslashreplace")
    return tape.Request(received.method, received.path, dict(received.headers), body)
