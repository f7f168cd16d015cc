"""What an upstream speaks TLS with: a context of the test's, or a certificate made on the spot."""

from __future__ import annotations

import ssl
from pathlib import Path

from inferd_engine.testing.steps import kind_of


def server_context(tls: object, folder: str) -> tuple[ssl.SSLContext, str]:
    """Return a server's context, and the file that a client has to trust if it was made here.

    Args:
        tls: True: make a certificate for ``127.0.0.1`` and ``localhost``; or a ready context.
        folder: Where to write the file.

    Raises:
        ImportError: There is no trustme to make one with.
        TypeError: ``tls`` is neither.
        ValueError: The context is a client's.
    """
    if tls is True:
        return _made_on_the_spot(Path(folder) / "authority.pem")
    # Not asked by its class: gevent and eventlet put theirs in its place.
    if not hasattr(tls, "wrap_socket") or not hasattr(tls, "protocol"):
        raise TypeError(f"tls is {kind_of(tls)}, not True or an ssl.SSLContext")
    if tls.protocol == ssl.PROTOCOL_TLS_CLIENT:
        raise ValueError("tls is a client's context: make one with ssl.PROTOCOL_TLS_SERVER")
    return tls, ""  # type: ignore[return-value] # see above


def _made_on_the_spot(ca_file: Path) -> tuple[ssl.SSLContext, str]:
    try:
        import trustme  # noqa: PLC0415 - an extra
    except ImportError:
        raise ImportError(
            "tls=True makes a certificate with trustme, which is not installed: "
            "pip install 'inferd-engine[testing]', or give an ssl.SSLContext"
        ) from None
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(ca_file))
    return context, str(ca_file)
