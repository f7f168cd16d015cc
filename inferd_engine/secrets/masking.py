r"""Take secrets out of every text that becomes an error or a log line.

Goal: what an upstream says is shown, unless it says back what it was sent: a key, a header, the
query of an address, a proxy's password.  It does so in its own spelling: JSON (``\u0073``), a URL
(``%73``), HTML (``&#115;``), in other letters' case, one of these inside of another.  And what we
cut, we may cut in the middle of a secret.

Strategy: escapes are undone in a copy that remembers where its characters were; secrets are looked
for in the copy and masked in the text.  So there is one rule for all spellings, and a text without
escapes costs a ``find()``.

A ``Mask`` is made for each call, of all that the call knows; errors pass through it where they
leave the backend (``Mask.error``): their message, their attributes, their causes.  The text of a
model passes through nothing: it is given as it is, in ``partial`` too.

What is shorter than eight characters is not looked for: a dummy key's letters are in every text
(``x``, ``ollama``), and a mask that shows where they are would tell more than it hides.  A secret
in base64 is not found, unless that is how it was sent.
"""

from __future__ import annotations

import bisect
import contextlib
import html
import re
from typing import TYPE_CHECKING, Any, TypeVar

from inferd_engine.frames import are_kept
from inferd_engine.secrets.secret import MASK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_E = TypeVar("_E", bound=BaseException)

_SHORTEST = 8  # characters
_ROUNDS = 4  # escapes inside of escapes: JSON in JSON in a URL, and one more
_SEARCHED = 262_144  # characters: in a longer text, escapes would take seconds to undo
# Escapes of printable ASCII, which secrets are made of; others are left alone, for speed.
_ESCAPE = re.compile(
    r"\\+(?:(?:u00|x)([2-7][0-9a-f])|(/))|%([2-7][0-9a-f])|&(?:#\w{2,6}|[a-z]{2,8});",
    re.IGNORECASE,
)
_BEGUN_ESCAPE = re.compile(r"(?:\\+\w{0,5}|%\w?|&#?\w{0,8})\Z")  # cut in the middle
_LONGEST_ESCAPE = 16  # characters
_ELLIPSIS = re.compile("…")  # where our own messages are cut


class Mask:
    """Take some secrets out of texts, values and errors.

    Args:
        secrets: What is never to be shown; short ones are left alone.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known: dict[str, str] = {}  # as it is looked for, as it is
        self._known: Callable[[], dict[str, str]] = lambda: known  # out of sight, as in ``Secret``
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Hide more secrets."""
        for secret in secrets:
            if len(secret) >= _SHORTEST:
                self._known()[_lowered(_unescaped(secret)[0])] = secret

    def text(self, text: str) -> str:
        """Return a text with a mask where a secret was, in whatever spelling."""
        if len(text) > _SEARCHED:
            for secret in self._known().values():
                text = text.replace(secret, MASK)
            return text
        if not self._known():
            return text
        plain, origin = _unescaped(text)
        spans = sorted(self._spans(_lowered(plain)))
        pieces: list[str] = []
        last = 0
        for start, end in spans:
            begin, stop = origin(start), origin(end)
            if stop > last:
                pieces += [text[last:begin], MASK] if begin >= last else []
                last = stop
        return "".join([*pieces, text[last:]]) if spans else text

    def _spans(self, plain: str) -> Iterator[tuple[int, int]]:
        """Find the secrets in a text, whole, or cut at its end."""
        cuts = [*_cuts(plain)]
        for needle in self._known():
            at = plain.find(needle)
            while at >= 0:
                yield at, at + len(needle)
                at = plain.find(needle, at + len(needle))
            for end in cuts:
                at = plain.find(needle[:_SHORTEST], max(0, end - len(needle) + 1), end)
                while at >= 0 and not needle.startswith(plain[at:end]):
                    at = plain.find(needle[:_SHORTEST], at + 1, end)
                if at >= 0:
                    yield at, end

    def headers(self, headers: dict[str, str]) -> dict[str, str]:
        """Clean all headers of an answer, which hold nothing in most cases."""
        joined = "\n".join(headers.values())
        if self.text(joined) is joined:
            return headers
        return {name: self.text(value) for name, value in headers.items()}

    def value(self, value: Any) -> Any:  # whatever an error holds
        """Clean the texts in a value."""
        if type(value) is str:
            return self.text(value)
        if isinstance(value, (bytes, bytearray)):
            text = value.decode("latin-1")
            return value if self.text(text) is text else self.text(text).encode("latin-1")
        if isinstance(value, dict):
            return {name: self.value(item) for name, item in value.items()}
        if type(value) in (list, tuple):
            return type(value)(map(self.value, value))
        return value

    def error(self, error: _E) -> _E:
        """Take the secrets out of an error and its causes, and the frames that may hold them."""
        above: BaseException | None = None
        link: BaseException | None = error
        seen: set[int] = set()
        while link is not None and id(link) not in seen:
            seen.add(id(link))
            self._clean(link)
            if above is not None and self._shows(link):
                above.__cause__ = None  # what it holds cannot be changed, as of UnicodeDecodeError
                break
            above, link = link, link.__cause__
        return error

    def _clean(self, error: BaseException) -> None:
        error.__context__ = None
        if not are_kept():
            error.__traceback__ = None
        with contextlib.suppress(Exception):  # somebody else's class
            error.args = self.value(error.args)
            held = vars(error)
            held.update({name: self.value(held[name]) for name in held if name != "partial"})

    def _shows(self, error: BaseException) -> bool:
        said = f"{error} {error!r} {getattr(error, 'object', '')!r}"  # of a UnicodeError
        return self.text(said) is not said


def _lowered(text: str) -> str:
    """Put a text into lower case, character by character."""
    return text.replace("\u0130", "I").lower()  # the one letter that becomes two


def _cuts(text: str) -> Iterator[int]:
    """Yield the places where a text may have been cut: its end, and before an ellipsis."""
    ends = [found.start() for found in _ELLIPSIS.finditer(text)]
    for end in (*ends, len(text)):
        yield end
        begun = _BEGUN_ESCAPE.search(text, max(0, end - _LONGEST_ESCAPE), end)
        if begun:
            yield begun.start()


def _unescaped(text: str) -> tuple[str, Callable[[int], int]]:
    """Undo escapes; give the text, and a function from its borders to those of before."""
    origins: list[Callable[[int], int]] = []
    for _ in range(_ROUNDS):
        if "\\" not in text and "%" not in text and "&" not in text:
            break
        before = text
        text, origin = _undone(text)
        if text == before:
            break
        origins.append(origin)

    def all_the_way(border: int) -> int:
        for origin in reversed(origins):
            border = origin(border)
        return border

    return text, all_the_way


def _undone(text: str) -> tuple[str, Callable[[int], int]]:
    """Undo one layer of escapes."""
    pieces: list[str] = []
    after, before = [0], [0]  # where an escape ended, in the new text and in the old one
    for escape in _ESCAPE.finditer(text):
        literal = text[before[-1] : escape.start()]
        code, char = escape[1] or escape[3], escape[2]
        undone = chr(int(code, 16)) if code else char or html.unescape(escape[0])
        pieces += (literal, undone)
        after.append(after[-1] + len(literal) + len(undone))
        before.append(escape.end())
    pieces.append(text[before[-1] :])

    def origin(border: int) -> int:
        at = bisect.bisect_right(after, border) - 1
        return before[at] + border - after[at]

    return "".join(pieces), origin
