"""Keep secrets out of a cassette: what is written is what a list allows, and no more.

Of headers and query values a short list is kept; the values of all others count as secrets, and are
looked for in everything else that is written: in the request's body, in the answer, in each of the
ways in which they may be spelled (JSON, a URL, base64).  So are the values of the environment's
variables that are named like secrets, and whatever looks like a provider's key, a token or an
account, wherever it came from.

An answer is masked with as many bytes as were there: chunks keep their borders, Content-Length
stays true, and a key that the upstream cut into two chunks is found all the same.
"""

from __future__ import annotations

import base64
import functools
import ipaddress
import json
import os
import re
import urllib.parse
from typing import TYPE_CHECKING, Any

from inferd_engine.testing.matching import MASK
from inferd_engine.testing.tape import Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_REQUEST_HEADERS = {"accept", "content-type", "user-agent"}
_RESPONSE_HEADERS = re.compile(
    r"content-type|retry-after(-ms)?|x-should-retry|(x-)?request-id|x-ratelimit-.*"
)
_QUERY = {"api-version", "alt", "limit", "order", "stream"}  # what asks for something
_BODY_FIELDS = {"user", "metadata", "safety_identifier", "prompt_cache_key"}  # whose request it is
_NAMED_LIKE_SECRETS = re.compile(
    r"""
    api[-_]?key | authorization | password | passwd | secret | cookie | credential
    | access[-_]?token
    | (?: ^ | auth | id | refresh | session ) [-_]? token $  # a model's own are eos_token, say
    | (?: account | org | organi[sz]ation | project | tenant ) [-_]? id $ | ^ organi[sz]ation $
    """,
    re.IGNORECASE | re.VERBOSE,
)
_VARIABLES = re.compile(
    r"(^|_)(key|token|secret|password|passwd|credentials?)(_|$)|api_?key", re.IGNORECASE
)
# Headers that say how and not who: their values are in many a text.
_HARMLESS = _REQUEST_HEADERS | {
    *("accept-encoding", "accept-language", "cache-control", "connection", "content-encoding"),
    *("content-length", "expect", "host", "keep-alive", "origin", "pragma", "priority", "referer"),
    *("te", "transfer-encoding", "upgrade-insecure-requests", "anthropic-version"),
}
_HARMLESS_PREFIXES = ("x-stainless-", "sec-fetch-", "sec-ch-")
_TELLING = re.compile(r"cookie|organi[sz]ation|project|account|cf-ray|token|key|user")
_SHORTEST = 8  # characters: what is shorter is in every text, and a mask would show where

_LOOKS_SECRET = re.compile(
    r"""
    \b sk- [\w-]{16,}                                # OpenAI, Anthropic, OpenRouter, DeepSeek
    | \b sk- (?=[\w-]*\d) [\w-]{8,}                  # a short one has a digit: no word has
    | \b (?:gsk|hf|r8|fw|tgp_v1|gh[pousr]|acct)_ \w{16,}
    | \b (?:xai|nvapi|pplx|csk|glpat|xox[abprs]) - [\w-]{16,}
    | \b (?:AKIA|ASIA|ABIA|ACCA) [0-9A-Z]{16} \b     # AWS
    | \b AIza [\w-]{30,} | \b ya29\. [\w.-]{10,}     # Google
    | \b eyJ [\w-]{8,} \. [\w-]{8,} (?:\. [\w-]*)?   # a JSON Web Token
    | (?i:\b bearer) (?:[ +]|%20) (?=[\w.~+/=-]*\d) [\w.~+/=-]{16,}
    | \b (?:org-|proj_|user-) [A-Za-z0-9]{20,}       # OpenAI's accounts
    | (?<=arn:aws:) [\w:-]* \d{12}                   # an AWS account
    | (?<=://) [^/\s:@"]+ : [^/\s@"]+ (?=@)          # user and password of an address
    """,
    re.VERBOSE | re.ASCII,
)
_ADDRESS = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\d)", re.ASCII)
_ACCOUNT_IN_PATH = re.compile(r"[0-9a-f]{32}|[0-9a-f-]{36}|\d{9,}")


class Scrubber:
    """Mask what is secret; it learns from each request and answer what that is."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._known: dict[str, None] = {}
        self.learn(value for name, value in environment.items() if _VARIABLES.search(name))

    def __repr__(self) -> str:
        return f"<Scrubber of {len(self._known)} secrets>"

    def learn(self, secrets: Iterable[str]) -> None:
        """Look for these too, if they are long enough to be secrets."""
        for secret in secrets:
            if len(secret.strip()) >= _SHORTEST:
                self._known[secret.strip()] = None

    # --- requests --------------------------------------------------------------------------------

    def learn_headers(self, headers: Mapping[str, str]) -> None:
        """Take the values of a request's headers for secrets, but for those that say how."""
        for name, value in headers.items():
            if name in _HARMLESS or name.startswith(_HARMLESS_PREFIXES):
                continue
            self.learn([value, *value.split()[1:]])  # after "Bearer", or "Basic"
            self.learn(cookie.partition("=")[2] for cookie in value.split(";") if "=" in cookie)
            if name.endswith("authorization") and value.lower().startswith("basic "):
                self.learn(_of_basic(value))

    def learn_query(self, query: str) -> None:
        """Take the values of a query for secrets, but for those that ask for something."""
        pairs = urllib.parse.parse_qsl(query)
        self.learn(value for name, value in pairs if name not in _QUERY)

    def learn_body(self, body: Any) -> None:
        """Take what says whose request it is for secrets."""
        if isinstance(body, dict):
            self.learn(_texts([body.get(name) for name in _BODY_FIELDS]))
        self.learn(_named_like_secrets(body))

    def request(self, request: Request) -> Request:
        """Give what may be written of a request."""
        kept = {name: request.headers[name] for name in _REQUEST_HEADERS if name in request.headers}
        return Request(
            request.method,
            self.text(request.path),
            {name: self.text(kept[name]) for name in sorted(kept)},
            self._json(request.body),
        )

    def _json(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self._json(item) for item in value]
        if isinstance(value, dict):
            return {
                self.text(name): MASK
                if isinstance(item, str) and _NAMED_LIKE_SECRETS.search(name)
                else self._json(item)
                for name, item in value.items()
            }
        return value

    # --- answers ---------------------------------------------------------------------------------

    def learn_answer(self, headers: Iterable[tuple[str, str]]) -> None:
        """Take what an answer's headers say of the account for secrets."""
        for name, value in headers:
            if _TELLING.search(name.lower()) and not _RESPONSE_HEADERS.fullmatch(name.lower()):
                first = value.partition(";")[0]  # of a cookie, without what follows
                self.learn([first.partition("=")[2] or first])

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Give the headers of an answer that may be written."""
        kept = {name for name in headers if _RESPONSE_HEADERS.fullmatch(name)}
        return {name: self.text(headers[name]) for name in sorted(kept)}

    def chunks(self, chunks: list[tuple[float, bytes]]) -> list[tuple[float, bytes]]:
        """Mask an answer, byte for byte, over the borders of its chunks."""
        whole = b"".join(data for _, data in chunks).decode("latin-1")
        spans = sorted(self._spans(whole))
        if not spans:
            return chunks
        masked = bytearray(whole, "latin-1")
        for start, end in spans:
            masked[start:end] = b"*" * (end - start)
        given, at = [], 0
        for t, data in chunks:
            given.append((t, bytes(masked[at : at + len(data)])))
            at += len(data)
        return given

    # --- texts -----------------------------------------------------------------------------------

    def text(self, text: str) -> str:
        """Give a text with a mask where a secret was."""
        pieces: list[str] = []
        last = 0
        for start, end in sorted(self._spans(text)):
            if end > last:
                pieces += [text[last:start], MASK] if start >= last else []
                last = end
        return "".join([*pieces, text[last:]])

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        for found in _LOOKS_SECRET.finditer(text):
            yield found.span()
        for found in _ADDRESS.finditer(text):
            if _is_public(found[0]):
                yield found.span()
        lowered = text.lower()
        if len(lowered) != len(text):  # a letter became two
            lowered = text.replace("\u0130", "I").lower()
        for secret in self._known:
            for spelling in _spellings(secret):
                needle = spelling.lower()
                at = lowered.find(needle)
                while at >= 0:
                    yield at, at + len(needle)
                    at = lowered.find(needle, at + len(needle))


def without_accounts(path: str) -> str:
    """Mask what looks like an account in a path."""
    parts = path.split("/")
    return "/".join(MASK if _ACCOUNT_IN_PATH.fullmatch(part) else part for part in parts)


def comparable(request: Request) -> Request:
    """Leave out of a request what is never written, and so cannot be matched by."""
    path, _, query = request.path.partition("?")
    pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
    kept = [(name, value if name in _QUERY else MASK) for name, value in sorted(pairs)]
    body = request.body
    if isinstance(body, dict):
        body = {name: item for name, item in body.items() if name not in _BODY_FIELDS}
    asked = f"?{urllib.parse.urlencode(kept, safe='*')}" if kept else ""
    return Request(request.method, without_accounts(path) + asked, request.headers, body)


def _of_basic(value: str) -> list[str]:
    try:
        user, _, password = base64.b64decode(value.split()[1]).decode().partition(":")
    except (ValueError, IndexError):
        return []
    return [user, password]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def _named_like_secrets(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            if isinstance(item, str) and _NAMED_LIKE_SECRETS.search(name):
                yield item
            else:
                yield from _named_like_secrets(item)
    elif isinstance(value, list):
        for item in value:
            yield from _named_like_secrets(item)


def _is_public(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return False


@functools.lru_cache(maxsize=256)
def _spellings(secret: str) -> frozenset[str]:
    """Give the ways in which a secret may be written."""
    in_json = json.dumps(secret)[1:-1]
    spelled = {secret, in_json, in_json.replace("/", "\\/")}
    spelled |= {urllib.parse.quote(secret, safe=""), urllib.parse.quote_plus(secret)}
    if not secret.isascii():  # an answer is searched as bytes, one character each
        spelled.add(secret.encode().decode("latin-1"))
    data = secret.encode()
    for offset, first in enumerate((0, 2, 3)):  # base64 depends on where in a triple it begins
        coded = base64.b64encode(b"\0" * offset + data).decode()
        inner = coded[first : (offset + len(data)) * 8 // 6]  # what nothing beside it changes
        if len(inner) >= _SHORTEST:
            spelled |= {inner, inner.replace("+", "-").replace("/", "_")}
    return frozenset(spelled)
