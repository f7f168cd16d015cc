"""Stream answers from any OpenAI-compatible server, synchronously, and stop them in milliseconds.

    import inferd_engine as ie

    backend = ie.OpenAiCompat(base_url="http://localhost:8080", model="qwen3-8b")
    with backend.stream("Why is the sky blue?") as stream:
        for text in stream.text():
            print(text, end="", flush=True)

This is the only door: whatever can be imported from here is public.  Each name is loaded when it
is first asked for, so that ``import inferd_engine`` costs next to nothing.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

from inferd_engine._version import __version__
from inferd_engine.frames import without_frames as _without_frames

# In the order in which an answer passes them.
_HOMES = {
    "inferd_engine.proto.roles": ("Role",),
    "inferd_engine.proto.v1": ("Message", "Request", "Resolved"),
    "inferd_engine.proto.v2": (
        "TextBlock",
        "ImageBlock",
        "AudioBlock",
        "VideoBlock",
        "DocumentBlock",
        "ThinkingBlock",
        "ToolUseBlock",
        "ToolResultBlock",
        "UnknownBlock",
        "ContentBlock",
        "MessageV2",
        "Tool",
        "ImageAttachment",
        "AudioAttachment",
        "VideoAttachment",
        "DocumentAttachment",
        "Attachment",
        "RequestV2",
        "ResolvedV2",
        "system",
        "user",
        "assistant",
        "tool_result",
    ),
    "inferd_engine.proto.fields": ("RequestFields",),
    "inferd_engine.wire.openai.messages": ("Prompt",),
    "inferd_engine.proto.embed": ("EmbedRequest", "EmbedResolved"),
    "inferd_engine.vectors": ("EmbedResult",),
    "inferd_engine.backends.openai_compat.backend": ("OpenAiCompat",),
    "inferd_engine.backends.openai_compat.config": ("OpenAiCompatConfig",),
    "inferd_engine.backends.anthropic.backend": ("Anthropic",),
    "inferd_engine.backends.anthropic.config": ("AnthropicConfig",),
    "inferd_engine.backends.bedrock.backend": ("Bedrock",),
    "inferd_engine.backends.bedrock.config": ("BedrockConfig",),
    "inferd_engine.backends.llamacpp.backend": ("LlamaCpp",),
    "inferd_engine.backends.llamacpp.config": ("LlamaCppConfig",),
    "inferd_engine.backends.mock": ("Mock", "MockConfig"),
    "inferd_engine.backends.base": ("Backend", "BackendCapabilities", "AcceleratorInfo"),
    "inferd_engine.many.batch.results": ("MapResult",),
    "inferd_engine.cancel": ("CancelToken",),
    "inferd_engine.many.retry": ("Retry",),
    "inferd_engine.many.retrying": ("Retrying",),
    "inferd_engine.many.router": ("Router",),
    "inferd_engine.stream.token_stream": ("TokenStream",),
    "inferd_engine.many.merging.merge": ("merge", "Merge"),
    "inferd_engine.stream.source": ("Source",),
    "inferd_engine.wire.sse.decoder": ("SSEDecoder", "ServerSentEvent"),
    "inferd_engine.wire.openai_request": ("request_from_resolved",),
    "inferd_engine.wire.openai.chunks": ("ChunkAccumulator",),
    "inferd_engine.events": (
        "TextDelta",
        "ThinkingDelta",
        "ToolUse",
        "Done",
        "RawChunk",
        "Token",
        "TokenEvent",
        "TokenEventV2",
        "StopReason",
        "Usage",
        "Completion",
        "StreamStats",
    ),
    "inferd_engine.errors": (
        "GenerateError",
        "NotReadyError",
        "InvalidRequestError",
        "AttachmentUnsupportedError",
        "UnknownContentBlockError",
        "NonTextToolResultError",
        "UnsupportedError",
        "UnavailableError",
        "TransportError",
        "DeadlineError",
        "HttpStatusError",
        "UpstreamError",
        "ToolCallMalformedError",
        "StreamInterruptedError",
        "RequestCancelledError",
        "InternalError",
        "EventTooLargeError",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME_OF]  # noqa: PLE0604 - they are all str

logging.getLogger(__name__).addHandler(logging.NullHandler())


if not TYPE_CHECKING:  # with it in sight, every name would be there for a type checker

    @_without_frames  # a Ctrl-C in the middle of it, say
    def __getattr__(name: str) -> Any:  # whatever has that name
        """Load a public name when it is first asked for."""
        home = _HOME_OF.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(home), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:
    from inferd_engine.backends.anthropic.backend import Anthropic as Anthropic
    from inferd_engine.backends.anthropic.config import AnthropicConfig as AnthropicConfig
    from inferd_engine.backends.base import (
        AcceleratorInfo as AcceleratorInfo,
        Backend as Backend,
        BackendCapabilities as BackendCapabilities,
    )
    from inferd_engine.backends.bedrock.backend import Bedrock as Bedrock
    from inferd_engine.backends.bedrock.config import BedrockConfig as BedrockConfig
    from inferd_engine.backends.llamacpp.backend import LlamaCpp as LlamaCpp
    from inferd_engine.backends.llamacpp.config import LlamaCppConfig as LlamaCppConfig
    from inferd_engine.backends.mock import (
        Mock as Mock,
        MockConfig as MockConfig,
    )
    from inferd_engine.backends.openai_compat.backend import OpenAiCompat as OpenAiCompat
    from inferd_engine.backends.openai_compat.config import OpenAiCompatConfig as OpenAiCompatConfig
    from inferd_engine.cancel import CancelToken as CancelToken
    from inferd_engine.errors import (
        AttachmentUnsupportedError as AttachmentUnsupportedError,
        DeadlineError as DeadlineError,
        EventTooLargeError as EventTooLargeError,
        GenerateError as GenerateError,
        HttpStatusError as HttpStatusError,
        InternalError as InternalError,
        InvalidRequestError as InvalidRequestError,
        NonTextToolResultError as NonTextToolResultError,
        NotReadyError as NotReadyError,
        RequestCancelledError as RequestCancelledError,
        StreamInterruptedError as StreamInterruptedError,
        ToolCallMalformedError as ToolCallMalformedError,
        TransportError as TransportError,
        UnavailableError as UnavailableError,
        UnknownContentBlockError as UnknownContentBlockError,
        UnsupportedError as UnsupportedError,
        UpstreamError as UpstreamError,
    )
    from inferd_engine.events import (
        Completion as Completion,
        Done as Done,
        RawChunk as RawChunk,
        StopReason as StopReason,
        StreamStats as StreamStats,
        TextDelta as TextDelta,
        ThinkingDelta as ThinkingDelta,
        Token as Token,
        TokenEvent as TokenEvent,
        TokenEventV2 as TokenEventV2,
        ToolUse as ToolUse,
        Usage as Usage,
    )
    from inferd_engine.many.batch.results import MapResult as MapResult
    from inferd_engine.many.merging.merge import Merge as Merge, merge as merge
    from inferd_engine.many.retry import Retry as Retry
    from inferd_engine.many.retrying import Retrying as Retrying
    from inferd_engine.many.router import Router as Router
    from inferd_engine.proto.embed import (
        EmbedRequest as EmbedRequest,
        EmbedResolved as EmbedResolved,
    )
    from inferd_engine.proto.fields import RequestFields as RequestFields
    from inferd_engine.proto.roles import Role as Role
    from inferd_engine.proto.v1 import Message as Message, Request as Request, Resolved as Resolved
    from inferd_engine.proto.v2 import (
        Attachment as Attachment,
        AudioAttachment as AudioAttachment,
        AudioBlock as AudioBlock,
        ContentBlock as ContentBlock,
        DocumentAttachment as DocumentAttachment,
        DocumentBlock as DocumentBlock,
        ImageAttachment as ImageAttachment,
        ImageBlock as ImageBlock,
        MessageV2 as MessageV2,
        RequestV2 as RequestV2,
        ResolvedV2 as ResolvedV2,
        TextBlock as TextBlock,
        ThinkingBlock as ThinkingBlock,
        Tool as Tool,
        ToolResultBlock as ToolResultBlock,
        ToolUseBlock as ToolUseBlock,
        UnknownBlock as UnknownBlock,
        VideoAttachment as VideoAttachment,
        VideoBlock as VideoBlock,
        assistant as assistant,
        system as system,
        tool_result as tool_result,
        user as user,
    )
    from inferd_engine.stream.source import Source as Source
    from inferd_engine.stream.token_stream import TokenStream as TokenStream
    from inferd_engine.vectors import EmbedResult as EmbedResult
    from inferd_engine.wire.openai.chunks import ChunkAccumulator as ChunkAccumulator
    from inferd_engine.wire.openai.messages import Prompt as Prompt
    from inferd_engine.wire.openai_request import request_from_resolved as request_from_resolved
    from inferd_engine.wire.sse.decoder import (
        ServerSentEvent as ServerSentEvent,
        SSEDecoder as SSEDecoder,
    )
