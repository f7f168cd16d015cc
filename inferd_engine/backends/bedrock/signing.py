"""Sign requests as AWS wants it (SigV4), with botocore: its signer, and its chain of credentials.

Signed is what will be sent, address and bytes, at the moment of the call: a signature holds for a
quarter of an hour.  botocore is imported here, when something is to be signed, and never else.

botocore logs what it signs, the session's token in it, where somebody wants to see all that is
logged.  It says nothing while we sign.

AWS General Reference, "Signature Version 4 signing process".
"""

from __future__ import annotations

import functools
import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from inferd_engine.errors import InvalidRequestError, UnsupportedError
from inferd_engine.secrets.secret import MASK, HeaderValue, query_of

if TYPE_CHECKING:
    from requests import PreparedRequest

    from inferd_engine.backends.bedrock.config import BedrockConfig

_SERVICE = "bedrock"
_SECRET = ("authorization", "x-amz-security-token")
_NO_BOTOCORE = (
    "a request is to be signed, which needs botocore: pip install 'inferd-engine[bedrock]', "
    "or give a bearer token as api_key (AWS_BEARER_TOKEN_BEDROCK)"
)


_is_signing: ContextVar[bool] = ContextVar("_is_signing", default=False)


def _quiet(_: logging.LogRecord) -> bool:
    return not _is_signing.get()


def sign(request: PreparedRequest, config: BedrockConfig) -> None:
    """Add the signature to a request.

    Raises:
        UnsupportedError: botocore is not installed.
        InvalidRequestError: There are no credentials, or they cannot be read.
    """
    try:
        from botocore.auth import SigV4Auth  # noqa: PLC0415 - an extra
        from botocore.awsrequest import AWSRequest  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415
    except ImportError:
        raise UnsupportedError(_NO_BOTOCORE) from None
    body = request.body or b""
    asked = AWSRequest(
        request.method,
        _sent_to(request, config),
        data=body,
        headers={"Content-Type": request.headers.get("Content-Type", "")} if body else {},
    )
    logging.getLogger(SigV4Auth.__module__).addFilter(_quiet)  # once: it is the same one
    before = _is_signing.set(True)
    try:
        SigV4Auth(_credentials(config), _SERVICE, config.region).add_auth(asked)
    except BotoCoreError as error:
        kind = type(error).__name__
        raise InvalidRequestError(f"the request cannot be signed: {kind}: {error}") from None
    finally:
        _is_signing.reset(before)
    for name, value in asked.headers.items():
        hidden = name.lower() in _SECRET
        request.headers[name] = HeaderValue(value) if hidden else value


def _sent_to(request: PreparedRequest, config: BedrockConfig) -> str:
    """Return the address as it will be sent, whose query nobody is shown before."""
    from requests.utils import requote_uri  # noqa: PLC0415 - heavy

    query = query_of(config.base_url)
    shown = request.url or ""
    return shown.replace(f"?{MASK}", f"?{requote_uri(query.reveal())}") if query else shown


def _credentials(config: BedrockConfig) -> Any:  # botocore's
    if config.access_key_id:
        from botocore.credentials import ReadOnlyCredentials  # noqa: PLC0415

        token = config.session_token.reveal() or None
        return ReadOnlyCredentials(config.access_key_id, config.secret_access_key.reveal(), token)
    found = _chain(config.profile)
    if found is None:
        raise InvalidRequestError(
            "there are no credentials to sign with: give api_key (AWS_BEARER_TOKEN_BEDROCK), "
            "access_key_id and secret_access_key, or what botocore looks for (AWS_PROFILE, …)"
        )
    return found.get_frozen_credentials()


def forget_credentials() -> None:
    """Let the next request look for credentials anew: those in a file do not renew themselves."""
    _chain.cache_clear()


@functools.lru_cache(maxsize=32)  # one for each profile: they renew themselves, in any thread
def _chain(profile: str) -> Any:  # botocore's
    from botocore.session import Session  # noqa: PLC0415

    return Session(profile=profile or None).get_credentials()
