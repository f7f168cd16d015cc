"""The short way: from a connection to what the events say, past all that looks after a body.

Goal: an event that comes alone costs more in calls than in anything that they do, and most of them
look for what hardly ever is there: an end, a mistake in the framing, compression, a time that is
up.  While an answer goes on as it did, its events are alike but for their texts
(``wire/answer/likeness.py``); then taking in what comes is one call of C, and one of the decoder.

Rules:

* it is all or nothing: what comes is whole events that are alike, or it is left to the reader,
  whose next ``read()`` gives it as if nothing had been tried; an error and an end, too;
* clocks are the business of whoever asks;
* nothing is kept between two reads: thousands of streams wait, and few read.

A thread that waits for many sockets has this done for all that are ready, in the call that waits
(``SocketWay.part``; ``csrc/socket_texts.h``).

Rejected: to take the events that are alike at the beginning of a read, and leave the rest (two
answers to one read, for what happens where the text ends, or an event is cut by a segment: there
the long way takes them as cheaply).
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

from inferd_engine._native import CHARS, ffi, lib, new_chars
from inferd_engine.net.socket_reader import BLOCK

if TYPE_CHECKING:
    from inferd_engine.net._socket_reader_native import NativeReader
    from inferd_engine.net.socket_reader import Plain, PythonReader
    from inferd_engine.wire.http.chunks_native import NativeChunkedDecoder

_MORE = lib.HTTP_CHUNKS_MORE
_NOTHING = -errno.EAGAIN
_texts = lib.socket_texts_unlocked
_texts_in = lib.received_texts
_buffer = ffi.buffer
_bytes = ffi.unpack


class SocketWay:
    """That of a socket which the C part reads.

    Args:
        reader: What comes and cannot be taken is left to it.
        fileno: The socket's descriptor.
        decoder: Of HTTP's chunks, if the body is in them.
        plain: What the events are like.
    """

    def __init__(
        self,
        reader: NativeReader | PythonReader,
        fileno: int,
        decoder: NativeChunkedDecoder | None,
        plain: Plain,
    ) -> None:
        chunks = ffi.NULL if decoder is None else decoder.chunks
        self._reader = reader
        self._decoder = decoder
        self._kept = plain.alike  # for the struct
        self._have_found = plain.have_found
        self._alike = plain.alike.part
        self._decode = plain.decode
        self._part = ffi.new("struct socket_texts *", [fileno, chunks, self._alike])
        self.part: Any = self._part
        """What C receives with and into, for whoever does so ahead; None where nobody may."""

    @property
    def bytes(self) -> int:
        """How many bytes of the body have come this way."""
        return int(self._part.bytes)

    @property
    def events(self) -> int:
        """How many events these were."""
        return int(self._part.events)

    @property
    def received(self) -> int:
        """How many bytes of the body came last, if any did."""
        return int(max(0, self._part.count))

    @property
    def has_left(self) -> bool:
        """Whether the reader has something now."""
        return self._reader.left is not None

    def read(self, seconds: float) -> list[Any] | None:
        """Wait until something comes, and give what it says; None if that is not to be had here.

        Args:
            seconds: 0 or less does not wait.
        """
        part = self._part
        written = part.ahead
        if written:
            part.ahead = 0
        else:
            block = new_chars(CHARS, 2 * BLOCK)
            written = _texts(part, seconds, block, BLOCK)
        if written > 0:
            try:
                return self._decode(_buffer(part.texts, written))
            except ValueError:
                self._take_back()
        self._leave()
        return None

    def turn_back(self) -> None:
        """Leave the way, and to the reader what was received ahead: its room is used again."""
        part = self._part
        if part.ahead:
            self._leave()  # first: whoever strikes in here has it done again
            if part.ahead > 0:
                self._take_back()
            part.ahead = 0
        self._have_found(self.events)

    def _take_back(self) -> None:
        """Let what came last not have come this way, and not be ahead."""
        part = self._part
        bytes_, events = part.bytes - part.count, part.events - self._alike.count
        part.ahead, part.bytes, part.events = 0, bytes_, events

    def _leave(self) -> None:
        """Leave what has come to the reader."""
        part = self._part
        count = part.count
        if count >= 0:
            self._reader.left = _bytes(part.block, count)
        elif count != _NOTHING:
            self._reader.left = OSError(-count, os.strerror(-count))


class RecordsWay(SocketWay):
    """That of a socket which Python has to read, such as one of TLS."""

    _reader: PythonReader

    def __init__(
        self, reader: PythonReader, decoder: NativeChunkedDecoder | None, plain: Plain
    ) -> None:
        super().__init__(reader, -1, decoder, plain)
        self.part = None

    def read(self, seconds: float) -> list[Any] | None:
        """Wait until something comes, and give what it says; None if that is not to be had here."""
        reader, decoder, part = self._reader, self._decoder, self._part
        try:
            data = reader.receive(BLOCK, seconds)
        except Exception as error:  # noqa: BLE001 - the reader raises it
            reader.left = error
            return None
        if not data:
            reader.left = data
            return None
        block = new_chars(CHARS, 2 * len(data))
        written = _texts_in(part, data, len(data), block)
        if written:
            try:
                return self._decode(_buffer(part.texts, written))
            except ValueError:
                self._take_back()
        if part.count or (decoder is not None and decoder.chunks.status != _MORE):
            self._leave()
        return None
