"""Images, sounds and PDFs of the command line: known by their content, images by address too."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import inferd_engine as ie
from inferd_engine.cli.prompt import STDIN, stdin_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_PDF = b"%PDF-"  # ISO 32000-2, 7.5.2
_ADDRESS = re.compile(r"(https?://|data:)", re.IGNORECASE)


def attachments_from(places: Iterable[str]) -> list[ie.Attachment]:
    """Read what is to be shown or played.

    Args:
        places: Files, addresses, or ``-`` for stdin.

    Raises:
        InvalidRequestError: One cannot be read, or is none of them.
    """
    return [_attachment(f"attachment-{n}", place) for n, place in enumerate(places, 1)]


def message_of(prompt: str, attachments: Sequence[ie.Attachment]) -> ie.MessageV2:
    """Return the user's message: the prompt, then what is attached to it."""
    shown = [_block_of(attachment) for attachment in attachments]
    return ie.MessageV2(ie.Role.USER, (ie.TextBlock(prompt), *shown))


def _block_of(attachment: ie.Attachment) -> ie.ContentBlock:
    if isinstance(attachment, ie.ImageAttachment):
        return ie.ImageBlock(attachment.id)
    if isinstance(attachment, ie.DocumentAttachment):
        return ie.DocumentBlock(attachment.id)
    return ie.AudioBlock(attachment.id)


def _attachment(name: str, place: str) -> ie.Attachment:
    if _ADDRESS.match(place):
        return ie.ImageAttachment.at(name, place)
    data = stdin_bytes() if place == STDIN else _read(place)
    if data.startswith(_PDF):
        return ie.DocumentAttachment(name, data, name="" if place == STDIN else Path(place).name)
    attachments = (
        ie.ImageAttachment.encoded(name, data),
        ie.AudioAttachment.encoded(name, data),
    )
    for attachment in attachments:
        if _is_known(attachment):
            return attachment
    raise ie.InvalidRequestError(
        f"attachment {place}: neither an image (PNG, JPEG, WebP, GIF) nor a sound (WAV, MP3) "
        "nor a PDF; "
        f"a text is piped in: < {place}"
    )


def _is_known(attachment: ie.Attachment) -> bool:
    """Whether the engine knows what it is by its first bytes: ask it for a check."""
    try:
        ie.RequestV2([ie.user("?")], attachments=[attachment]).resolve()
    except ie.InvalidRequestError:
        return False
    return True


def _read(place: str) -> bytes:
    try:
        return Path(place).expanduser().read_bytes()
    except (OSError, RuntimeError, ValueError) as error:
        raise ie.InvalidRequestError(
            f"attachment {place} cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from None
