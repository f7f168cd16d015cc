"""Explain things, with whichever language model the caller has."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import attrs

import inferd_engine as ie

if TYPE_CHECKING:
    from collections.abc import Generator

WAIT = 5.0  # seconds between two attempts, if the upstream names none


def explain(backend: ie.Backend, thing: str, *, attempts: int = 3) -> str:
    """Explain something in one text; ask again where that may help."""
    for attempt in range(1, attempts + 1):
        try:
            return backend.complete(f"Explain {thing}.").text
        except ie.UnavailableError as error:
            if attempt == attempts or not error.retryable:
                raise
            time.sleep(getattr(error, "retry_after", None) or WAIT)
    raise ValueError("attempts has to be 1 or more")


def lines(backend: ie.Backend, thing: str) -> Generator[str, None, None]:
    """Explain something line by line; whoever closes the iterator stops the upstream."""
    with backend.stream(f"Explain {thing}, in short lines.") as stream:
        rest = ""
        for text in stream.text():
            *whole, rest = (rest + text).split("\n")
            yield from whole
        if rest:
            yield rest


class Polite(ie.Backend):
    """Ask another backend, politely."""

    def __init__(self, backend: ie.Backend) -> None:
        self._backend = backend

    @property
    def name(self) -> str:
        """The other's name, with an attribute."""
        return f"polite {self._backend.name}"

    def ready(self) -> bool:
        """Whether the other is."""
        return self._backend.ready()

    def capabilities(self) -> ie.BackendCapabilities:
        """What the other can do."""
        return self._backend.capabilities()

    def generate_v2(
        self,
        request: ie.ResolvedV2,
        *,
        cancel: ie.CancelToken | None = None,
        include_raw: bool = False,
    ) -> ie.TokenStream:
        """Ask, with a word in front."""
        polite = (ie.system("Please be patient and kind."), *request.messages)
        asked = attrs.evolve(request, messages=polite)
        return self._backend.generate_v2(asked, cancel=cancel, include_raw=include_raw)

    def stop(self, timeout: float = 5.0) -> None:
        """Stop the other."""
        self._backend.stop(timeout)
