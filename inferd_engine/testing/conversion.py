"""Make cassettes of what other recorders wrote: vcrpy's YAML, and the HAR of a browser or a proxy.

Neither keeps where chunks begin and end, nor how a connection broke; vcrpy keeps no times either.
So an event stream is cut into its events, which is how most servers send it, and whatever was
recorded ends well.  Secrets are masked as when a cassette is recorded.
"""

from __future__ import annotations

import base64
import json
import re
import urllib.parse
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferd_engine.testing import tape
from inferd_engine.testing.recorder import Address
from inferd_engine.testing.scrubbing import Scrubber, comparable, without_accounts

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator

    PathLike = str | os.PathLike[str]

_Recorded = tuple[str, tape.Interaction, dict[str, str]]  # with its URL, and all headers
_EVENT = re.compile(rb".*?(?:\r\n\r\n|\n\n|\r\r|\Z)", re.DOTALL)


def cassette_from_vcrpy(source: PathLike, path: PathLike, *, upstream: str = "") -> int:
    """Make a cassette of a file that vcrpy or pytest-recording wrote, in YAML or JSON.

    Args:
        source: The file to read.
        path: The cassette to write.
        upstream: The base URL of the recorded server, if it has a path: the cassette's ``url`` then
            has it too.

    Returns:
        How many interactions there are.

    Raises:
        ValueError: The file is not one of vcrpy's.
        ModuleNotFoundError: It is YAML, and PyYAML is not installed.
    """
    return _written(
        path,
        upstream,
        source,
        lambda: map(_of_vcrpy, _loaded(Path(source).read_text("utf-8"))["interactions"]),
    )


def cassette_from_har(source: PathLike, path: PathLike, *, upstream: str = "") -> int:
    """Make a cassette of a HAR file, as browsers and proxies save it.

    Args:
        source: The file to read.
        path: The cassette to write.
        upstream: The base URL of the recorded server, if it has a path; requests to other servers
            are left out then.

    Returns:
        How many interactions there are.

    Raises:
        ValueError: The file is not HAR.
    """
    return _written(
        path,
        upstream,
        source,
        lambda: map(_of_har, json.loads(Path(source).read_text("utf-8-sig"))["log"]["entries"]),
    )


def _loaded(text: str) -> Any:  # YAML
    if text.lstrip().startswith("{"):
        return json.loads(text)
    try:
        import yaml  # noqa: PLC0415 - needed for this alone
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "PyYAML reads vcrpy's files: pip install pyyaml", name="yaml"
        ) from None
    try:
        return yaml.safe_load(text)  # what a tag would run is refused
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def _written(
    path: PathLike,
    upstream: str,
    source: PathLike,
    recorded: Callable[[], Iterator[_Recorded]],
) -> int:
    """Mask and write interactions; give how many there are."""
    address = Address(upstream) if upstream else None
    scrubber = Scrubber()
    kept = []
    try:
        for url, interaction, headers in recorded():
            parts = urllib.parse.urlsplit(url)
            if address is not None and parts.hostname != address.host:
                continue
            request = interaction.request
            scrubber.learn_query(parts.query)
            scrubber.learn_headers(request.headers)
            scrubber.learn_body(request.body)
            scrubber.learn_answer(headers.items())
            request.path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            kept.append(interaction)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{source} is not what this recorder writes: {error!r}") from None
    done = [_masked(interaction, scrubber) for interaction in kept]
    base = "" if address is None else without_accounts(scrubber.text(address.path))
    tape.write(Path(path), base, done)
    return len(done)


def _masked(interaction: tape.Interaction, scrubber: Scrubber) -> tape.Interaction:
    interaction.request = scrubber.request(comparable(interaction.request))
    interaction.chunks = scrubber.chunks(interaction.chunks)
    if interaction.response is not None:
        interaction.response.headers = scrubber.headers(interaction.response.headers)
    return interaction


def _of_vcrpy(entry: dict[str, Any]) -> _Recorded:
    asked, answered = entry["request"], entry["response"]
    headers = _headers((answered.get("headers") or {}).items())
    body = answered["body"]
    data = body["string"] if isinstance(body, dict) else body
    request = tape.Request(
        asked["method"],
        "",
        _headers((asked.get("headers") or {}).items()),
        _body(asked.get("body")),
    )
    status = answered["status"]["code"]
    coding = headers.get("content-encoding", "")
    if isinstance(data, bytes) and coding in ("br", "zstd"):
        raise ValueError(f"{coding} hides a body: record with decode_compressed_response=True")
    return asked["uri"], _interaction(request, status, headers, _bytes(data)), headers


def _of_har(entry: dict[str, Any]) -> _Recorded:
    asked, answered = entry["request"], entry["response"]
    headers = _headers((one["name"], one["value"]) for one in answered["headers"])
    content = answered.get("content") or {}
    text = content.get("text") or ""
    data = base64.b64decode(text) if content.get("encoding") == "base64" else text.encode()
    request = tape.Request(
        asked["method"],
        "",
        _headers((one["name"], one["value"]) for one in asked["headers"]),
        _body((asked.get("postData") or {}).get("text")),
    )
    clocks = entry.get("timings") or {}
    first = max(0.0, float(clocks.get("wait") or 0.0)) / 1000
    last = first + max(0.0, float(clocks.get("receive") or 0.0)) / 1000
    interaction = _interaction(request, answered["status"], headers, data, first, last)
    return asked["url"], interaction, headers


def _interaction(
    request: tape.Request,
    status: int,
    headers: dict[str, str],
    data: bytes,
    first: float = 0.0,
    last: float = 0.0,
) -> tape.Interaction:
    """Give an interaction of a body that came between two moments; without a status it was cut."""
    if not status:
        return tape.Interaction(request, ended=last, how="cut")
    if headers.get("content-encoding") in ("gzip", "deflate") and data[:1] in (b"\x1f", b"\x78"):
        data = zlib.decompress(data, zlib.MAX_WBITS | 32)
    is_stream = headers.get("content-type", "").startswith("text/event-stream")
    pieces = (
        [piece for piece in _EVENT.findall(data) if piece] if is_stream else [data][: len(data)]
    )
    step = (last - first) / max(1, len(pieces))
    chunks = [(first + step * number, piece) for number, piece in enumerate(pieces, 1)]
    if is_stream:
        response = tape.Response(first, status, headers)
    else:
        response = tape.Response(first, status, headers, "length", len(data))
    return tape.Interaction(request, response, chunks, last)


def _headers(pairs: Iterable[tuple[str, Any]]) -> dict[str, str]:
    named: dict[str, str] = {}
    for name, value in pairs:
        if not name.startswith(":"):  # HTTP/2's own, as browsers save them
            values = value if isinstance(value, list) else [value]
            named[name.lower()] = ", ".join(map(str, values))
    return named


def _bytes(data: Any) -> bytes:  # of YAML
    if data is None:
        return b""
    return bytes(data) if isinstance(data, (bytes, bytearray)) else str(data).encode()


def _body(data: Any) -> Any:  # JSON, or text
    text = _bytes(data).decode("utf-8", "backslashreplace")
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text
