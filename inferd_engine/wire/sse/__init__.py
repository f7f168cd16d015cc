"""Server-sent events: the door to the decoder."""

from inferd_engine.wire.sse.decoder import (
    BOM as BOM,
    IMPLEMENTATION as IMPLEMENTATION,
    IMPLEMENTATIONS as IMPLEMENTATIONS,
    MAX_EVENT_BYTES as MAX_EVENT_BYTES,
    EventTooLargeError as EventTooLargeError,
    ServerSentEvent as ServerSentEvent,
    SSEDecoder as SSEDecoder,
    utf8_truncate as utf8_truncate,
)
