"""What TLS needs to be endable, and what it may hide.

A handshake waits as everything does, a slice at a time (``Exchange.in_time``): that needs a socket
class of ours, which ``SSLContext.sslsocket_class`` is for.

A layer of TLS decrypts whole records: what came behind an answer is out of the kernel's sight then,
and inside of OpenSSL.  Whoever looks whether a connection is quiet has to ask each layer
(``has_unread``), or the next call is given it: somebody else's answer.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import urllib3.util.ssl_

from inferd_engine.errors import InternalError
from inferd_engine.net.response import current_exchange

if TYPE_CHECKING:
    import socket


class PatientSocket(ssl.SSLSocket):
    """A TLS socket whose handshake can be ended, and lets exceptions in."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - ssl's own
        """Shake hands, within the deadlines of the exchange that is served."""
        exchange = current_exchange()
        if exchange is None:
            super().do_handshake(block)
            return
        try:
            exchange.in_time(self, super().do_handshake, block)
        except BaseException:  # ssl closes it after an OSError alone
            self.close()
            raise


def patient_context(connection: Any) -> Any:  # urllib3's own
    """Make what urllib3 makes for a connection that was given no context, with our socket class."""
    need = urllib3.util.ssl_.resolve_cert_reqs(connection.cert_reqs)
    context = urllib3.util.ssl_.create_urllib3_context(cert_reqs=need)
    if ssl.SSLSocket.__module__ == "ssl":  # gevent's and eventlet's wait in ways of their own
        context.sslsocket_class = PatientSocket
    if not (connection.ca_certs or connection.ca_cert_dir or connection.ca_cert_data):
        context.load_default_certs()
    return context


def check_patched_early() -> None:
    """Refuse to work half patched: TLS would end in a RecursionError that explains nothing.

    That is so where urllib3 holds the interpreter's own context and ``ssl`` no longer does.  Where
    urllib3 holds somebody else's (pyOpenSSL's, truststore's), it was given that.

    Raises:
        InternalError: Somebody has patched too late.
    """
    held = getattr(urllib3.util.ssl_, "SSLContext", ssl.SSLContext)
    if held is not ssl.SSLContext and held.__module__ == "ssl":
        raise InternalError(
            "ssl was replaced after requests had been imported (by gevent's monkey patching?): "
            "call monkey.patch_all() before anything else"
        )


def has_unread(sock: socket.socket | Any) -> bool:  # or a layer of TLS on one
    """Whether a layer of TLS holds something that was received and not read.

    The layers are those of ``ssl``, of urllib3 for TLS inside of TLS, and of pyOpenSSL.
    """
    while sock is not None:
        parts = (
            sock,
            *(getattr(sock, name, None) for name in ("sslobj", "incoming", "connection")),
        )
        if any(map(_pending, parts)):
            return True
        sock = getattr(sock, "socket", None)
    return False


def _pending(part: Any) -> int:  # one of many kinds
    """Return how many bytes it holds; some tell by a method, some by a number."""
    pending = getattr(part, "pending", 0)
    return pending() if callable(pending) else pending
