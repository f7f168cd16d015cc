"""An image as a file: raw RGB becomes PNG, by Pillow, which is the extra ``vision``."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from inferd_engine.errors import UnsupportedError
from inferd_engine.proto.media import image_format_of

if TYPE_CHECKING:
    from inferd_engine.proto.v2 import ImageAttachment


def encoded_image(image: ImageAttachment, data: bytes, place: str) -> tuple[str, bytes]:
    """Give an image's format and its bytes as a file: raw RGB becomes PNG.

    Raises:
        UnsupportedError: Raw RGB, but Pillow is not installed.
    """
    kind = None if image.is_raw else image_format_of(data)
    return (kind, data) if kind else ("png", _png(image, data, place))


def _png(image: ImageAttachment, rgb: bytes, place: str) -> bytes:
    try:
        from PIL import Image  # noqa: PLC0415 - an extra
    except ImportError:
        raise UnsupportedError(
            f"{place} shows raw RGB, which needs Pillow to become PNG: "
            "pip install 'inferd-engine[vision]', or give the image as PNG or JPEG"
        ) from None
    encoded = io.BytesIO()
    Image.frombytes("RGB", (image.width, image.height), bytes(rgb)).save(encoded, "PNG")
    return encoded.getvalue()
