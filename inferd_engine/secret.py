"""What no repr shows: a key that knows where it came from, and values of headers and proxies.

A secret is a ``str`` whose repr is masked, so that no repr of anything that holds it shows it, not
even that of a frame whose local it is.  A key is left out of pickles: whoever unpickles reads the
environment again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferd_engine.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self


class Masked(str):
    """Text that no repr shows, not even that of the frame that it is a local of."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'" if self else "''"


class Secret(Masked):
    """A key; ``source`` names the variable that it came from, if any did."""

    __slots__ = ("source",)

    source: str

    def __new__(cls, value: str, source: str = "") -> Self:
        """Make one of a value and the name of its source."""
        secret = super().__new__(cls, value)
        secret.source = source
        return secret

    def __deepcopy__(self, memo: object) -> Self:
        return self  # a copy goes nowhere, unlike a pickle

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()  # none: a configuration reads its variable again


def to_secret(value: str | None) -> Secret:
    """Hide a key; one that is hidden already keeps its source."""
    if not isinstance(value, str):
        msg = f"api_key is a {type(value).__name__}: it has to be a str, empty for none"
        raise InvalidRequestError(msg)
    return value if isinstance(value, Secret) else Secret(value)


def to_masked(values: Mapping[str, str] | None) -> dict[str, str]:
    """Hide the values of a mapping; what is none is left for the check to name."""
    return {
        name: Masked(value) if isinstance(value, str) else value
        for name, value in to_dict(values).items()
    }


def to_masked_or_none(values: Mapping[str, str] | None) -> dict[str, str] | None:
    """Do the same for a mapping that may be missing."""
    return None if values is None else to_masked(values)


def to_dict(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """Copy a mapping."""
    try:
        return dict(values or {})
    except (TypeError, ValueError):
        msg = f"headers, extra_body and proxies are mappings, not {type(values).__name__}"
        raise InvalidRequestError(msg) from None


def hide_secrets(fields: dict[str, Any]) -> None:
    """Hide what is secret among the arguments of a configuration, from tracebacks too."""
    for name, convert in (
        ("api_key", to_secret),
        ("headers", to_masked),
        ("proxies", to_masked_or_none),
    ):
        if fields.get(name) is not None:
            fields[name] = convert(fields[name])
