"""Images, sounds and documents as OpenAI's Chat Completions take them.

An attachment is raw (RGB, float32 samples) or encoded already (PNG, JPEG, WebP, GIF; WAV, MP3) or,
for an image, an address.  What is encoded and what is an address goes through untouched; raw RGB
becomes PNG (``wire.request.images``), raw samples become 16-bit WAV.

OpenAI API reference, "Create chat completion", content parts ``image_url``, ``input_audio`` and
``file``.
"""

from __future__ import annotations

import array
import base64
import io
import sys
import wave
from typing import TYPE_CHECKING, Any

from inferd_engine.errors import AttachmentUnsupportedError, InvalidRequestError
from inferd_engine.proto.media import audio_format_of
from inferd_engine.wire.request.images import encoded_image

if TYPE_CHECKING:
    from inferd_engine.proto.v2 import AudioAttachment, DocumentAttachment, ImageAttachment


def image_part(image: ImageAttachment, place: str) -> dict[str, Any]:
    """Return the content part of an image.

    Raises:
        UnsupportedError: Raw RGB, but Pillow is not installed.
    """
    if isinstance(image.data, str):
        url = image.data
    else:
        kind, data = encoded_image(image, image.data, place)
        url = f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
    detail = {"detail": image.detail} if image.detail else {}
    return {"type": "image_url", "image_url": {"url": url, **detail}}


def audio_part(audio: AudioAttachment, place: str) -> dict[str, Any]:
    """Return the content part of a sound.

    Raises:
        InvalidRequestError: A sample is no number.
    """
    kind = audio_format_of(audio.data)
    data = _wav(audio, place) if kind is None else audio.data
    encoded = base64.b64encode(data).decode("ascii")
    return {"type": "input_audio", "input_audio": {"data": encoded, "format": kind or "wav"}}


def document_part(document: DocumentAttachment, place: str) -> dict[str, Any]:
    """Give the content part of a document.

    Raises:
        AttachmentUnsupportedError: It is an address, which is not fetched.
    """
    if isinstance(document.data, str):
        raise AttachmentUnsupportedError(
            f"{place} is a document by its address: give its bytes, this upstream fetches none"
        )
    encoded = base64.b64encode(document.data).decode("ascii")
    ending = document.media_type.rpartition("/")[2].replace("plain", "txt")
    name = document.name or f"{document.id}.{ending}"
    data = f"data:{document.media_type};base64,{encoded}"
    return {"type": "file", "file": {"filename": name, "file_data": data}}


def _wav(audio: AudioAttachment, place: str) -> bytes:
    samples = array.array("f", bytes(audio.data))
    if sys.byteorder == "big":
        samples.byteswap()
    try:
        pcm = array.array("h", [round(32767 * min(max(s, -1.0), 1.0)) for s in samples])
    except ValueError:  # NaN, which max and min let through in this order
        raise InvalidRequestError(f"{place} has a sample that is not a number") from None
    if sys.byteorder == "big":
        pcm.byteswap()
    encoded = io.BytesIO()
    with wave.open(encoded, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(pcm.itemsize)
        out.setframerate(audio.sample_rate)
        out.writeframes(pcm.tobytes())
    return encoded.getvalue()
