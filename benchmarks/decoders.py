"""The event-stream decoders of Python's clients, each from reads to events by its front door."""

from __future__ import annotations

import inferd_engine.wire.sse as ours


def native(reads: list[bytes]) -> int:
    """Ours, with the C part."""
    decoder = ours.SSEDecoder(implementation="native")
    return sum(len(decoder.feed(read)) for read in reads)


def pure(reads: list[bytes]) -> int:
    """Ours, in Python."""
    decoder = ours.SSEDecoder(implementation="pure")
    return sum(len(decoder.feed(read)) for read in reads)


def split(reads: list[bytes]) -> int:
    """No decoder: what cutting the bytes costs."""
    return sum(len(read.split(b"\n\n")) - 1 for read in reads)


def sseclient(reads: list[bytes]) -> int:
    """sseclient-py."""
    import sseclient

    return sum(1 for _ in sseclient.SSEClient(iter(reads)).events())


def httpx_sse(reads: list[bytes]) -> int:
    """httpx-sse, over a response that is there already."""
    import httpx
    import httpx_sse

    headers = {"content-type": "text/event-stream; charset=utf-8"}
    response = httpx.Response(200, headers=headers, content=iter(reads))
    return sum(1 for _ in httpx_sse.EventSource(response).iter_sse())


def openai(reads: list[bytes]) -> int:
    """openai-python's decoder."""
    from openai._streaming import SSEDecoder

    return sum(1 for _ in SSEDecoder().iter_bytes(iter(reads)))


DECODERS = {
    "native": native,
    "pure": pure,
    "bytes.split": split,
    "sseclient-py": sseclient,
    "httpx-sse": httpx_sse,
    "openai-python": openai,
}
