"""What every upstream over HTTP is like: one immutable value, checked when it is made.

A backend's own configuration extends it, and says what differs as data:

    @attrs.frozen(kw_only=True)
    class TalkConfig(Upstream):
        BASE_URL = "https://api.talk.example"
        BASE_URL_VARIABLE = "TALK_BASE_URL"
        API_KEY_VARIABLES = ("TALK_API_KEY",)
        PRESETS = {"talk": {"base_url": "https://api.talk.example/v1"}}

        api_key_header: str = attrs.field(default="x-api-key", validator=check_header_name)
        version: str = attrs.field(default="1", validator=check_name)

Keyword arguments are typed by a ``TypedDict`` that extends ``UpstreamFields`` likewise; a test
holds the two together.

What is secret is hidden (``secrets/secret.py``) and checked (``credentials.py``): by the fields'
converters, before a frame of ours holds it.  (So a converter is called twice: it takes what it
gave.)  A further secret needs no more than a converter (``to_secret``): masks, pickles and frames
know it by its class.

A pickle holds no secret: a key that came from a variable is read from it again, all else is left
out, and the first call of the copy says so.  Unpickling never raises: it would break a pool of
processes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict

import attrs

from inferd_engine.backends.over_http.aws_region import aws_region
from inferd_engine.backends.over_http.construction import documented, hide, hiding
from inferd_engine.backends.over_http.credentials import (
    check_base_url,
    check_header_name,
    check_headers,
    check_key,
    check_proxies,
    check_way,
    key_from_environment,
)
from inferd_engine.backends.settings import check_count, check_word, close_to, seconds
from inferd_engine.errors import InvalidRequestError
from inferd_engine.reprs import short_repr
from inferd_engine.secrets.secret import (
    Secret,
    is_harmless,
    revealed,
    to_address,
    to_dict,
    to_headers,
    to_key,
    to_proxies,
)
from inferd_engine.wire.http.urls import without_query
from inferd_engine.wire.sse.decoder import MAX_EVENT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from typing_extensions import Self


class UpstreamFields(TypedDict, total=False):
    """What every backend over HTTP is told of its upstream."""

    base_url: str | None
    api_key: str | Callable[[], str] | None
    api_key_variable: str
    api_key_header: str
    model: str
    timeout: float | None
    connect_timeout: float | None
    first_token_timeout: float | None
    idle_timeout: float | None
    buffer: int
    max_event_bytes: int
    headers: Mapping[str, str] | None
    extra_body: Mapping[str, Any] | None
    verify: bool | str | os.PathLike[str] | None
    cert: str | os.PathLike[str] | tuple[str | os.PathLike[str], str | os.PathLike[str]] | None
    proxies: Mapping[str, str] | None
    max_connections: int
    keepalive_expiry: float | None
    tcp_keepalive: float | None


def _to_base_url(value: str | None) -> str:
    url: str = to_address(value)
    return url


def _to_extra_body(value: Mapping[str, Any] | None) -> dict[str, Any]:
    return to_dict(value, "extra_body")


def _to_verify(value: str | os.PathLike[str] | bool | None) -> bool | str | None:  # noqa: FBT001
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _to_cert(value: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None) -> Any:
    if isinstance(value, (list, tuple)):  # what is no path is left for the check to name
        return tuple(map(_to_cert, value))
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _check_verify(_: Any, __: Any, value: object) -> None:
    # An empty str would switch verification off.
    if value is not None and not isinstance(value, bool) and not (isinstance(value, str) and value):
        raise InvalidRequestError(
            f"verify is {value!r}: it has to be True, False, or the path of a CA file or folder"
        )


def _check_cert(_: Any, __: Any, value: object) -> None:
    paths = value if isinstance(value, tuple) and len(value) == 2 else (value,)  # noqa: PLR2004
    if value is not None and not all(isinstance(path, str) and path for path in paths):
        raise InvalidRequestError(
            f"cert is {value!r}: it has to be the path of a file, or two: certificate and key"
        )


@attrs.frozen(kw_only=True)
class Upstream:
    """Say where an upstream is, and how it is asked: what every backend over HTTP has to know.

    Args:
        base_url: The upstream's address; the environment's or the provider's if None.
        api_key: Sent with every request; that of ``api_key_variable`` if None, and that goes only
            to https or to this machine, and through no proxy in clear.  Empty: none is sent.  A
            function without arguments gives the key anew for each call.  It reads ``***``;
            ``api_key.reveal()`` gives it.
        api_key_variable: The variable of the environment that ``api_key`` is read from if None.
        api_key_header: Where the key goes: alone, but into ``Authorization`` as ``Bearer …``.
        model: The upstream's name of the model.
        timeout: Seconds for the whole request; None sets no limit, here and below.
        connect_timeout: Seconds for TCP and TLS.
        first_token_timeout: Seconds from sending to the first text, thought or tool call.
        idle_timeout: Seconds of silence between events with data.
        buffer: Undelivered events that are read ahead; 0 for no worker thread.
        max_event_bytes: The largest event, JSON body or sum of tool calls that is not an error.
        headers: Sent with every request, also in place of one that would be sent otherwise, such as
            the key's; those that set how it is framed are refused.
        extra_body: Merged into the body of every request, over what is there.
        verify: As in requests; None follows ``REQUESTS_CA_BUNDLE``.
        cert: As in requests.
        proxies: As in requests; None follows ``HTTPS_PROXY`` and ``NO_PROXY``, but never on the
            way to this machine.
        max_connections: Idle connections that are kept; more streams than that still work.
        keepalive_expiry: Seconds after which an idle connection is not used again: a firewall may
            have forgotten it without a word.
        tcp_keepalive: Seconds of silence after which the kernel asks whether the other side is
            still there; None for never.

    Raises:
        InvalidRequestError: A field cannot be used; the message names it.
        TypeError: There is no such field; the message names what is close.
    """

    BASE_URL: ClassVar[str]
    """Where the upstream is if nothing is said."""
    BASE_URL_VARIABLE: ClassVar[str] = ""
    """The variable of the environment that says so before that."""
    API_KEY_VARIABLES: ClassVar[tuple[str, ...]] = ("",)
    """Those that a key is read from: the first that is set."""
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """What is known of providers: fields that differ; AWS's region is a ``{region}`` in them."""

    api_key_variable: str = attrs.field(
        default=attrs.Factory(lambda self: self._usual_variable(), takes_self=True),
        validator=check_word,
        repr=False,
    )
    api_key: Secret = attrs.field(
        default=attrs.Factory(key_from_environment, takes_self=True),
        converter=to_key,
        validator=check_key,
    )
    base_url: str = attrs.field(
        default=attrs.Factory(lambda self: self._usual_address(), takes_self=True),
        converter=_to_base_url,
        validator=check_base_url,
        repr=lambda url: repr(without_query(url)),
    )
    api_key_header: str = attrs.field(default="Authorization", validator=check_header_name)
    model: str = attrs.field(default="", validator=check_word)
    timeout: float | None = seconds(300.0)
    connect_timeout: float | None = seconds(10.0)
    first_token_timeout: float | None = seconds(None)
    idle_timeout: float | None = seconds(None)
    buffer: int = attrs.field(default=512, validator=check_count(0))
    max_event_bytes: int = attrs.field(default=MAX_EVENT_BYTES, validator=check_count(1))
    headers: Mapping[str, str] = attrs.field(
        factory=dict, converter=to_headers, validator=check_headers
    )
    extra_body: Mapping[str, Any] = attrs.field(factory=dict, converter=_to_extra_body)
    verify: bool | str | None = attrs.field(
        default=None, converter=_to_verify, validator=_check_verify
    )
    cert: str | tuple[str, str] | None = attrs.field(
        default=None, converter=_to_cert, validator=_check_cert
    )
    proxies: Mapping[str, str] | None = attrs.field(
        default=None, converter=to_proxies, validator=check_proxies
    )
    max_connections: int = attrs.field(default=256, validator=check_count(1))
    keepalive_expiry: float | None = seconds(60.0)
    tcp_keepalive: float | None = seconds(60.0)

    __repr__ = short_repr

    @classmethod
    def __attrs_init_subclass__(cls) -> None:
        # attrs has written these three anew for the class that extends this one.
        cls.__init__ = hiding(cls.__init__)  # type: ignore[method-assign]
        cls.__hash__ = Upstream.__hash__  # type: ignore[method-assign]
        cls.__repr__ = Upstream.__repr__  # type: ignore[method-assign]
        cls.__doc__ = documented(cls, Upstream)

    def __attrs_post_init__(self) -> None:
        check_way(self)

    @classmethod
    def _usual_variable(cls) -> str:
        set_here = (name for name in cls.API_KEY_VARIABLES if os.environ.get(name))
        return next(set_here, cls.API_KEY_VARIABLES[0])

    @classmethod
    def _usual_address(cls) -> str:
        return os.environ.get(cls.BASE_URL_VARIABLE) or cls.BASE_URL

    @classmethod
    def _of_preset(cls, name: str, given: Any) -> Self:
        """Fill in what is known of a provider; the fields given win.

        Args:
            name: A key of ``PRESETS``.
            given: The keyword arguments, as a dict that is the caller's own: it is changed.
        """
        hide(cls, given)
        try:
            known = cls.PRESETS[name]
        except (KeyError, TypeError):
            meant = "".join(f" (did you mean {word!r}?)" for word in close_to(name, cls.PRESETS))
            raise InvalidRequestError(
                f"there is no preset {name!r}{meant}: take one of {', '.join(cls.PRESETS)}"
            ) from None
        if "{region}" in known.get("base_url", "") and not given.get("base_url"):
            known = {**known, "base_url": known["base_url"].format(region=aws_region())}
        if "base_url" not in known and not given.get("base_url"):
            raise InvalidRequestError(
                f"the preset {name!r} needs a base_url: every account has its own"
            )
        return cls(**{**known, **given})

    def __hash__(self) -> int:
        # Of what is never secret: hashes end up in logs and in the names of files.
        return hash((type(self), without_query(self.base_url), self.model))

    def __reduce__(self) -> tuple[Any, ...]:
        state = {field.name: getattr(self, field.name) for field in attrs.fields(type(self))}
        state["headers"] = {
            name: revealed(value) if is_harmless(name) else value
            for name, value in self.headers.items()
        }
        return _unpickled, (type(self), state)


def _unpickled(cls: type[Upstream], state: dict[str, Any]) -> Upstream:
    """Make a configuration of what a pickle holds; what is wrong with it is told at its call."""
    config = object.__new__(cls)
    for name, value in {**state, "headers": to_headers(state["headers"])}.items():
        object.__setattr__(config, name, value)
    return config
