"""Know encoded images and sounds by their first bytes.

PNG 3rd edition 5.2, JPEG (ITU-T T.81 B.1.1.3), GIF89a, RFC 9649 (WebP), RIFF/WAVE, ID3v2.4 3.1.
"""

from __future__ import annotations


def image_format_of(data: bytes | bytearray | memoryview) -> str | None:
    """Return ``"png"``, ``"jpeg"``, ``"gif"`` or ``"webp"``; None for what is none of them."""
    head = bytes(data[:12])
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    return "webp" if head.startswith(b"RIFF") and head.endswith(b"WEBP") else None


def audio_format_of(data: bytes | bytearray | memoryview) -> str | None:
    """Return ``"wav"`` or ``"mp3"``; None for what is neither.

    Samples do not begin so: as little-endian floats these bytes are far outside of [-1, 1], or
    (some MP3) below 1e-37.
    """
    head = bytes(data[:12])
    if head.startswith(b"RIFF") and head.endswith(b"WAVE"):
        return "wav"
    return "mp3" if head.startswith((b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")) else None
