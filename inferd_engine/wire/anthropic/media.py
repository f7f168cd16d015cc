"""Images and documents as Anthropic's Messages take them: bytes in base64, or an address.

Anthropic API reference, "Create a Message", ``image`` and ``document`` blocks.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

from inferd_engine.wire.request.images import encoded_image

if TYPE_CHECKING:
    from inferd_engine.proto.v2 import DocumentAttachment, ImageAttachment

_INLINE = re.compile(r"data:([^;,]+)[^,]*;base64,", re.IGNORECASE)
_PLAIN_TEXT = "text/plain"
_MEANT = {"image/jpg": "image/jpeg"}  # what many write, and upstreams refuse


def image_block(image: ImageAttachment, place: str) -> dict[str, Any]:
    """Give the block of an image.

    Raises:
        UnsupportedError: Raw RGB, but Pillow is not installed.
    """
    if isinstance(image.data, str):
        return {"type": "image", "source": _by_address(image.data)}
    kind, data = encoded_image(image, image.data, place)
    return {"type": "image", "source": _in_base64(f"image/{kind}", data)}


def document_block(document: DocumentAttachment) -> dict[str, Any]:
    """Give the block of a document; plain text is sent as text."""
    if isinstance(document.data, str):
        source = _by_address(document.data)
    elif document.media_type == _PLAIN_TEXT:
        text = bytes(document.data).decode("utf-8", "replace")
        source = {"type": "text", "media_type": _PLAIN_TEXT, "data": text}
    else:
        source = _in_base64(document.media_type, document.data)
    titled = {"title": document.name} if document.name else {}
    return {"type": "document", "source": source, **titled}


def _by_address(url: str) -> dict[str, Any]:
    inline = _INLINE.match(url)
    if inline:
        kind = inline[1].lower()
        kind = _MEANT.get(kind, kind)
        return {"type": "base64", "media_type": kind, "data": url[inline.end() :]}
    return {"type": "url", "url": url}


def _in_base64(media_type: str, data: bytes) -> dict[str, Any]:
    encoded = base64.b64encode(data).decode("ascii")
    return {"type": "base64", "media_type": media_type, "data": encoded}
