"""What Amazon Bedrock is like for one account: an ``Upstream`` with a region and credentials."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Literal

import attrs

from inferd_engine.backends.over_http.aws_region import aws_region
from inferd_engine.backends.over_http.credentials import check_base_url
from inferd_engine.backends.over_http.upstream import Upstream
from inferd_engine.backends.settings import check_one_of, check_word, switch
from inferd_engine.errors import InvalidRequestError
from inferd_engine.frames import without_frames
from inferd_engine.secrets.secret import Secret, to_address, to_secret
from inferd_engine.wire.anthropic.dialect import Dialect
from inferd_engine.wire.anthropic.request import THINKING_STYLES
from inferd_engine.wire.bedrock.request import MAX_TOKENS
from inferd_engine.wire.http.urls import without_query

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from inferd_engine.backends.bedrock.fields import BedrockFields

_REGION_IN_ADDRESS = re.compile(  # a region's own, and those of VPCs
    r"https://(?:[\w-]+\.)*bedrock-runtime(?:-fips)?\.([a-z0-9-]+)\.(?:[\w-]+\.)*"
    r"(?:amazonaws|c2s|sc2s|adc-e|hci)\."
)
_LATEST = "DRAFT"  # of a guardrail
_CACHES = (False, True, "5m", "1h")
_VERSION = "2023-06-01"  # of Messages, by way of which requests are mapped: it takes every field
# Where a region's addresses end, if not in amazonaws.com (botocore's list of endpoints).
_SUFFIXES = {
    "cn-": "amazonaws.com.cn",
    "eusc-": "amazonaws.eu",
    "us-iso-": "c2s.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
    "eu-isoe-": "cloud.adc-e.uk",
    "us-isof-": "csp.hci.ic.gov",
}


def _to_region(value: str | None) -> str:
    if not isinstance(value, (str, type(None))):
        raise InvalidRequestError(f"region is {value!r}: it has to be a str")
    return aws_region(value or "", or_give="region")


def _usual_address(config: BedrockConfig) -> str:
    region = config.region
    ends = (suffix for begin, suffix in _SUFFIXES.items() if region.startswith(begin))
    usual = f"https://bedrock-runtime.{region}.{next(ends, 'amazonaws.com')}"
    return os.environ.get(config.BASE_URL_VARIABLE) or usual


@attrs.frozen(kw_only=True)
class BedrockConfig(Upstream):
    """Say which region is asked, and with whose credentials.

    Args:
        region: ``AWS_REGION`` if None, else ``AWS_DEFAULT_REGION``; requests are signed for it.
        base_url: ``AWS_ENDPOINT_URL_BEDROCK_RUNTIME`` if None, else the region's own address; one
            of another region's is refused.
        api_key: A bearer token; if None, and neither ``access_key_id`` nor ``profile`` is given,
            ``AWS_BEARER_TOKEN_BEDROCK``.  Empty: requests are signed (SigV4) with what follows,
            for which botocore is needed (the extra ``bedrock``).
        model: An id, an inference profile, or an ARN.
        access_key_id: With ``secret_access_key``, what requests are signed with; else botocore
            looks where it always does: variables, files, SSO, the container, the machine.
        secret_access_key: See there.
        session_token: Beside them, for temporary ones.
        profile: Of botocore's files; not beside ``access_key_id``.
        guardrail_id: A guardrail that every request goes through; empty for none.
        guardrail_version: Its version.
        thinking_style: How models are told to think, as of ``AnthropicConfig``.
        cache: Mark what is to be kept in the prompt cache, as of ``AnthropicConfig``.
        vision: Send images.
        documents: Send documents.

    Raises:
        InvalidRequestError: A field cannot be used; the message names it.
    """

    BASE_URL_VARIABLE = "AWS_ENDPOINT_URL_BEDROCK_RUNTIME"
    API_KEY_VARIABLES = ("AWS_BEARER_TOKEN_BEDROCK",)

    region: str = attrs.field(default=None, converter=_to_region)
    base_url: str = attrs.field(
        default=attrs.Factory(_usual_address, takes_self=True),
        converter=to_address,
        validator=check_base_url,
        repr=lambda url: repr(without_query(url)),
    )
    access_key_id: str = attrs.field(default="", validator=check_word)
    secret_access_key: Secret = attrs.field(
        factory=lambda: Secret(""), converter=to_secret, validator=check_word
    )
    session_token: Secret = attrs.field(
        factory=lambda: Secret(""), converter=to_secret, validator=check_word
    )
    profile: str = attrs.field(default="", validator=check_word)
    guardrail_id: str = attrs.field(default="", validator=check_word)
    guardrail_version: str = attrs.field(default=_LATEST, validator=check_word)
    thinking_style: str = attrs.field(default="adaptive", validator=check_one_of(*THINKING_STYLES))
    cache: bool | Literal["5m", "1h"] = attrs.field(default=False, validator=check_one_of(*_CACHES))
    vision: bool = switch(default=True)
    documents: bool = switch(default=True)

    def __attrs_post_init__(self) -> None:
        self._check_credentials()
        super().__attrs_post_init__()
        if self.guardrail_version != _LATEST and not self.guardrail_id:
            raise InvalidRequestError("guardrail_version goes with guardrail_id: give both")
        found = _REGION_IN_ADDRESS.match(self.base_url)
        if found and found[1] != self.region:
            raise InvalidRequestError(
                f"region is {self.region!r}, but the address in base_url is that of {found[1]}: "
                "give base_url=None for the region's own, or the other region"
            )

    def _check_credentials(self) -> None:
        """Refuse what says two things; what is given wins over a token of the environment."""
        if bool(self.access_key_id) != bool(self.secret_access_key):
            raise InvalidRequestError(
                "access_key_id and secret_access_key belong together: give both, or neither"
            )
        if self.session_token and not self.access_key_id:
            raise InvalidRequestError(
                "session_token goes with access_key_id and secret_access_key: give all three"
            )
        if self.profile and self.access_key_id:
            raise InvalidRequestError(
                "profile and access_key_id both say what to sign with: give one of them"
            )
        signs_with = "access_key_id" if self.access_key_id else "profile" if self.profile else ""
        if not signs_with or not self.api_key:
            return
        if self.api_key.source in self.API_KEY_VARIABLES:
            object.__setattr__(self, "api_key", Secret(""))
            return
        raise InvalidRequestError(
            f"{self.api_key.source or 'api_key'} is sent, and nothing is signed with {signs_with}: "
            "give one of them, or api_key='' to sign"
        )

    @property
    def dialect(self) -> Dialect:
        """What a request is mapped by."""
        return Dialect(
            model=self.model,
            max_tokens=MAX_TOKENS,
            version=_VERSION,
            thinking_style=self.thinking_style,
            cache=self.cache,
            vision=self.vision,
            documents=self.documents,
            extra_body=self.extra_body,
            spoken="Bedrock's Converse",
        )

    @classmethod
    @without_frames
    def preset(cls, name: str, **given: Unpack[BedrockFields]) -> Self:
        """Raise: there is none, a region is all that differs.

        Raises:
            InvalidRequestError: Always.
        """
        del given  # a traceback shows it
        raise InvalidRequestError(
            f"there is no preset {name!r} of Bedrock's: give region and model"
        )


def guardrail_of(config: BedrockConfig) -> dict[str, Any]:
    """Return what a body says of the guardrail; nothing if there is none."""
    if not config.guardrail_id:
        return {}
    said = {
        "guardrailIdentifier": config.guardrail_id,
        "guardrailVersion": config.guardrail_version,
    }
    return {"guardrailConfig": said}
