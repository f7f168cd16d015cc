"""Give a recorded interaction again, as it was or cut otherwise, in its own time or in none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from inferd_engine.testing.raw_answers import LAST_CHUNK, head_bytes
from inferd_engine.testing.steps import Action

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from inferd_engine.testing.peer import Peer
    from inferd_engine.testing.tape import Interaction

Split = Literal["recorded", "bytes", "whole"]
# Where the client left when this was recorded, it has so long to leave again before that is an
# error: it takes milliseconds, unless the client waits for more.
_LEAVING_SECONDS = 5.0
# A reset takes with it what the client has not read yet; what was recorded had been read.
_READING_SECONDS = 0.05


class Replay(Action):
    """Give what was recorded.

    Args:
        interaction: What was recorded.
        speed: How many times as fast as it was; 0 waits for nothing.
        split: The pieces in which the body is sent.
        fail: Called if the client should have left and has not.
    """

    def __init__(
        self, interaction: Interaction, speed: float, split: Split, fail: Callable[[str], None]
    ) -> None:
        self._interaction = interaction
        self._speed = speed
        self._split: Split = split
        self._fail = fail
        self._at = 0.0  # seconds of the recording

    def take(self, peer: Peer) -> None:
        """Send it, and end as it ended."""
        response = self._interaction.response
        if response is not None:
            self._wait_until(response.t, peer)
            peer.send(head_bytes(response))
            peer.chunked = response.framing == "chunked"
            for t, piece in _pieces(self._interaction.chunks, self._split):
                self._wait_until(t, peer)
                peer.send(piece)
        self._wait_until(self._interaction.ended, peer)
        self._end(peer)

    def _wait_until(self, t: float, peer: Peer) -> None:
        if self._speed and t > self._at:
            peer.wait((t - self._at) / self._speed)
            self._at = t

    def _end(self, peer: Peer) -> None:
        how = self._interaction.how
        if how == "eof":
            is_chunked, peer.chunked = peer.chunked, False
            peer.send(LAST_CHUNK if is_chunked else b"")
            return
        if how == "cancelled":
            peer.wait(_LEAVING_SECONDS)
            asked = self._interaction.request
            self._fail(f"{asked.method} {asked.path}: the client left here when it was recorded")
        if how == "reset":
            peer.wait(_READING_SECONDS)
        peer.leave(reset=how == "reset")


def _pieces(chunks: list[tuple[float, bytes]], split: Split) -> Iterator[tuple[float, bytes]]:
    if split == "recorded":
        yield from chunks
    elif split == "bytes":
        for t, data in chunks:
            yield from ((t, data[at : at + 1]) for at in range(len(data)))
    elif chunks:
        yield chunks[-1][0], b"".join(data for _, data in chunks)
