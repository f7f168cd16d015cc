"""Read a burst of TLS records at once.

``recv`` of a TLS socket gives one record, however many have come: an event of 300 bytes, or 16 KiB
of a burst.  All that follows a read, up to the consumer, costs more than to decrypt it.  So a read
goes on without waiting, as long as there are records, and gives them as one block.

Rules:

* The first record is received as ever: with it everything that waits, and all that ends waiting.
* Looking whether there is more costs, if there is not, half of what an event costs that comes
  alone.  So after a look in vain no other is tried before a record's worth of bytes has come: among
  such events it is one in fifty.  While looks find something they go on.
* The flag and the clocks are looked at before each read: this one ends a moment after its first
  record, whatever comes.  It asks for no more than there is room for, so that what is behind a body
  of known length stays where it is.
* The end or the error that a look meets belongs to the next read.  It may be the peer's
  close_notify, which leaves the connection silent: then nobody would be woken to be told.  So
  receiving is shut down, in the kernel alone, and from then on the descriptor is readable: for who
  waits, for a merge, and for the pool that looks whether a connection may be used again.

Rejected: decrypting from a ``MemoryBIO`` that one ``recv`` fills.  It needs a socket of our own in
urllib3, and a record costs the same but for an eighth: what is dear is a call of OpenSSL for each,
which CPython's ``ssl`` makes without the interpreter's lock.  (OpenSSL could read ahead; ``ssl``
has no switch for it.)
"""

from __future__ import annotations

import _socket  # its shutdown(): that of ssl's drops the layer of TLS, too
import contextlib
import socket
import time

from inferd_engine.net.socket_reader import NOTHING_YET

RECORD = 16384  # bytes in a record at the most (RFC 8446, 5.1)
_MOMENT = 0.001  # seconds for which records are taken: what is no time to a clock or a closing


class TLSRecords:
    """What has come over a TLS socket that is the interpreter's own."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._unlooked = RECORD  # bytes since a look in vain; it begins with a look
        self._met: OSError | bytes | None = None
        """What the next read has to say: an error, or the end, which is empty."""

    def recv(self, size: int) -> bytes:
        """Return what the socket's ``recv`` gives, and what can be had behind it at once."""
        if self._met is not None:
            if isinstance(self._met, OSError):
                raise self._met
            return self._met
        data = self._sock.recv(size)
        self._unlooked += len(data)
        if self._unlooked < RECORD or size - len(data) < RECORD or not data:
            return data
        return self._with_more(data, size - len(data))

    def _with_more(self, data: bytes, room: int) -> bytes:
        """Look for more records, and return them behind the first."""
        records = [data]
        end = time.monotonic() + _MOMENT
        receive, seconds = self._sock.recv, self._sock.gettimeout()
        self._sock.settimeout(0.0)
        try:
            while room >= RECORD and time.monotonic() < end:
                data = receive(RECORD)
                if not data:
                    self._meet(data)
                    break
                records.append(data)
                room -= len(data)
        except NOTHING_YET:
            pass
        except OSError as error:
            self._meet(error)
        finally:
            self._sock.settimeout(seconds)
        if len(records) == 1:
            self._unlooked = 0
        return b"".join(records)

    def _meet(self, end: OSError | bytes) -> None:
        """Keep what ends the connection for the next read, and have its descriptor tell of it."""
        self._met = end
        with contextlib.suppress(OSError):  # the peer has gone: it is readable as it is
            _socket.socket.shutdown(self._sock, socket.SHUT_RD)
