"""A context: what the model has read of one conversation so far.

One request at a time has it (``slots.py``).  What was computed is kept when that is over: of the
next prompt only what differs is read, and so the second turn of a conversation costs its new words
alone.  ``known`` says which tokens, and pieces of images, are in the cache, and nothing else does:
after an abort, of which llama.cpp keeps whatever part was done, the cache is cut back to it.

It is a sequence of llama.cpp's one context, where all compute together (``rounds.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferd_engine.backends.llamacpp.projector import Piece
from inferd_engine.backends.llamacpp.rounds import Step

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inferd_engine.backends.llamacpp.library import AbortFlag
    from inferd_engine.backends.llamacpp.projector import Entry, Image
    from inferd_engine.backends.llamacpp.rounds import Rounds
    from inferd_engine.backends.llamacpp.sampling import Sampler
    from inferd_engine.stream.turn import Bell


class Context:
    """Have a sequence.

    Args:
        rounds: Where it is computed.
        number: Which one.
    """

    def __init__(self, rounds: Rounds, number: int) -> None:
        self.rounds = rounds
        self.number = number
        self.size = rounds.size
        self.known: list[Entry] = []
        self.position = 0
        """Of what is read next: an image has more places than positions."""
        self.kept = 0
        """How many tokens of the prompt did not have to be read."""
        self.is_cut = False
        """Whether the cache holds what is known, and no more."""

    def shared_with(self, tokens: Sequence[Entry]) -> int:
        """Return how many tokens of a prompt need not be read; the last always is."""
        count = 0
        for ours, theirs in zip(self.known, tokens[:-1], strict=False):
            if ours != theirs:
                break
            count += 1
        # An image is there as a whole, or not at all.
        piece = self.known[count] if count < len(self.known) else tokens[count]
        return count - piece.place if isinstance(piece, Piece) else count

    def begin(self, tokens: Sequence[Entry]) -> None:
        """Keep of what is known what a prompt begins with."""
        del self.known[self.shared_with(tokens) :]
        self.kept = len(self.known)
        self.is_cut = False

    def compute(
        self,
        tokens: Sequence[Entry],
        images: Mapping[str, Image],
        sampler: Sampler,
        flag: AbortFlag,
        bell: Bell,
    ) -> int | None:
        """Read what of these tokens is not known yet, as many as are read in one go.

        Args:
            tokens: The prompt, and what was answered.
            images: Those in it, by their names.
            sampler: Chooses the token that follows them.
            flag: Ends the computing, if ``rounds.look()`` is called after it is set.
            bell: To be rung then.

        Returns:
            That token; None if there is more to read before it.

        Raises:
            RequestCancelledError: The flag was set.
            InternalError: llama.cpp cannot compute them, or no token may follow.
        """
        step = Step(self, tokens, images, sampler, flag, bell)
        self.rounds.compute(step)
        return step.token
