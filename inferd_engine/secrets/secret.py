"""What nobody is shown: a key, values of headers, the query of an address, a proxy's password.

A ``Secret`` is a ``str`` that reads ``***``: that is all that C code, a slice, a format, a JSON
encoder, a logger or a debugger finds in it, cut or not.  What it stands for is given by
``reveal()`` alone, which is called where it is sent and where it is compared.

Rejected: a ``str`` that holds the truth and hides it in ``repr()`` (Rich and structlog cut a
``str`` before they print it, f-strings and encoders do not ask at all); an object that is no
``str`` (a header, a proxy and a base URL are passed on and taken apart by others, who are given
what may be shown).

No pickle holds a secret.  What came from a variable is read from that variable again; all else is
left out, and the first call of the copy says so (``credentials.key_for_call``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Union

from inferd_engine.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

MASK = "***"
Key = Union[str, "Callable[[], str]"]

# Of the headers and queries that providers document, those that hold no secret.  They are told in
# errors and go into pickles; what is not here does neither.
_HARMLESS = frozenset(
    {
        *("accept", "accept-encoding", "accept-language", "content-type", "host", "user-agent"),
        *("anthropic-beta", "anthropic-version", "openai-beta", "api-version", "alt"),
        *("http-referer", "referer", "x-title"),  # an application's name, for OpenRouter
    }
)
_USER_INFO = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://|//|)[^/?#]*@")
_ANY_USER_INFO = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://|//|).*@", re.DOTALL)


class Secret(str):
    """Text that reads ``***``; ``reveal()`` gives what it stands for.

    It equals, and hashes as, what it stands for; if that is a function, the function.

    Args:
        truth: What it stands for, or a function that gives it; None if it was left out of a pickle.
        shown: What it reads.
        source: The variable of the environment that it came from, if it did.
    """

    __slots__ = ("_hold", "source")

    source: str

    def __new__(cls, truth: Key | None, *, shown: str | None = None, source: str = "") -> Self:
        """Hide a value."""
        if shown is None:
            shown = "" if isinstance(truth, str) and not truth else MASK
        secret = super().__new__(cls, shown)
        # In a closure: some formatters of tracebacks print the attributes that a line names.
        secret._hold = lambda: truth
        secret.source = source
        return secret

    _hold: Callable[[], Key | None]

    def reveal(self) -> str:
        """Return what it stands for, or what the function gives now.

        Raises:
            InvalidRequestError: It was left out of a pickle.
        """
        truth = self._hold()
        if truth is None:
            raise InvalidRequestError("a secret was left out of a pickle: give it again")
        return truth if isinstance(truth, str) else truth()

    @property
    def is_function(self) -> bool:
        """Whether a function gives it anew for each call."""
        return callable(self._hold())

    @property
    def is_left_out(self) -> bool:
        """Whether it was left out of the pickle that this is from."""
        return self._hold() is None

    def __eq__(self, other: object) -> bool:
        return self._hold() == (other._hold() if isinstance(other, Secret) else other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self._hold())

    def __copy__(self) -> Self:
        return self  # a copy goes nowhere, unlike a pickle

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if self.source:
            return _from_variable, (self.source, bool(self))
        return (_left_out, (str(self),)) if self else (Secret, ("",))


class HeaderValue(Secret):
    """A header's value in a request: reads ``***``, and is written as what it stands for."""

    __slots__ = ()

    def encode(self, encoding: str = "latin-1", errors: str = "strict") -> bytes:
        """Return what is sent; ``http.client`` asks for it when it writes a header."""
        return self.reveal().encode(encoding, errors)


def _left_out(shown: str) -> Secret:
    """Unpickle a secret that was given explicitly."""
    return Secret(None, shown=shown)


def _from_variable(variable: str, was_set: bool) -> Secret:  # noqa: FBT001 - in pickles
    """Unpickle a secret that came from a variable; one that is missing here is told of later."""
    value = os.environ.get(variable, "")
    return Secret(value if value or not was_set else None, source=variable)


def is_harmless(name: str) -> bool:
    """Whether a header, or a part of a query, is known to hold no secret."""
    return name.lower() in _HARMLESS


def to_key(value: Key | None) -> Secret:
    """Hide a key; one that is hidden already keeps its source."""
    if isinstance(value, Secret):
        return value
    if value is None or not (isinstance(value, str) or callable(value)):
        raise InvalidRequestError(
            f"api_key is a {type(value).__name__}: "
            "it has to be a str, empty for none, or a function that gives one"
        )
    return Secret(value)


def to_secret(value: Any) -> Any:  # what is not a str is left for the check to name
    """Hide a text; one that is hidden already stays as it is."""
    return Secret(value) if isinstance(value, str) and not isinstance(value, Secret) else value


def to_address(url: Any) -> Any:  # what is not a str is left for the check to name
    """Hide what is secret in an address: its query, and what must not be there."""
    if not isinstance(url, str) or isinstance(url, Secret):
        return url
    address, _, fragment = url.partition("#")
    address, _, query = address.partition("?")
    shown = _USER_INFO.sub(rf"\1{MASK}@", address)
    is_known = all(is_harmless(part.partition("=")[0]) for part in query.split("&") if part)
    if shown == address and is_known and not fragment:
        return url
    shown += f"?{query if is_known else MASK}" if query else ""
    return Secret(url, shown=shown + (f"#{MASK}" if fragment else ""))


def to_headers(values: Mapping[str, str] | None) -> dict[str, str]:
    """Hide the values of headers; what is not a str is left for the check to name."""
    return {name: to_secret(value) for name, value in to_dict(values, "headers").items()}


def to_proxies(values: Mapping[str, str] | None) -> dict[str, str] | None:
    """Hide the passwords of proxies; None stays None."""
    if values is None:
        return None
    return {scheme: to_proxy(address) for scheme, address in to_dict(values, "proxies").items()}


def to_proxy(address: Any) -> Any:  # what is not a str is left for the check to name
    """Hide the user and the password in a proxy's address."""
    if not isinstance(address, str) or isinstance(address, Secret) or "@" not in address:
        return address
    return Secret(address, shown=_ANY_USER_INFO.sub(rf"\1{MASK}@", address))


def to_dict(values: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    """Copy a mapping; None is an empty one.

    Args:
        values: The mapping.
        name: What it is, for the error: its value may hold secrets.

    Raises:
        InvalidRequestError: It is none.
    """
    if values is not None and not isinstance(values, Mapping):
        raise InvalidRequestError(f"{name} is of type {type(values).__name__}: give a mapping")
    return dict(values or {})


def query_of(url: str) -> Secret | None:
    """Return the query of an address, if it is hidden."""
    if not isinstance(url, Secret) or not url.endswith(f"?{MASK}"):
        return None
    return Secret(url.reveal().partition("?")[2])


def revealed(value: str) -> str:
    """Return what a str stands for, whether it is hidden or not."""
    return value.reveal() if isinstance(value, Secret) else value
