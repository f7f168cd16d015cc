"""What our connections stand on in urllib3 and http.client without anybody's promise.

Where a name is missing, because urllib3 has changed or another package has replaced it
(urllib3-future does), requests' own adapter is used, on a connection for each call: all works but
cancelling, which waits for the next byte.

A name that is still there and is no longer used as it was cannot be seen here.  It costs the use of
a connection for several calls and no more: a connection whose exchange did not let go of it is shut
down at the end of its answer (``Exchange.end``), wherever it may lie.
"""

from __future__ import annotations

import http.client
import io
from typing import TYPE_CHECKING, Any

import urllib3.connection
import urllib3.connectionpool
import urllib3.poolmanager
import urllib3.util.ssl_

from inferd_engine.pool import OwningPool

if TYPE_CHECKING:
    from collections.abc import Callable


class _Silence:
    """A socket that says nothing, to make an answer of http.client from."""

    def makefile(self, *_: object) -> io.BytesIO:
        return io.BytesIO()


# Something that is made anew for each look, and the names that it has to have.
NEEDED: tuple[tuple[Callable[[], Any], str], ...] = (
    (
        lambda: urllib3.connection.HTTPConnection,
        "_new_conn _tunnel connect request send getresponse close is_connected response_class",
    ),
    (lambda: urllib3.connection.HTTPConnection, "default_socket_options"),
    (lambda: urllib3.connection.HTTPConnection("localhost"), "sock socket_options"),
    (
        lambda: urllib3.connection.HTTPSConnection("localhost"),
        "ssl_context cert_reqs ca_certs ca_cert_dir ca_cert_data",
    ),
    (
        lambda: urllib3.connectionpool.HTTPConnectionPool,
        "_put_conn QueueCls ConnectionCls",
    ),
    (lambda: OwningPool("localhost"), "pool"),
    (urllib3.poolmanager.PoolManager, "pools pool_classes_by_scheme"),
    (lambda: urllib3.util.ssl_, "create_urllib3_context resolve_cert_reqs"),
    (lambda: http.client.HTTPResponse, "_read_status _close_conn begin"),
    (
        lambda: http.client.HTTPResponse(_Silence()),  # type: ignore[arg-type]
        "fp chunked length will_close headers status",
    ),
    (lambda: http.client, "parse_headers"),
)


def is_supported() -> bool:
    """Whether urllib3 and http.client are those that our connections were made for."""
    if not issubclass(urllib3.connection.HTTPConnection, http.client.HTTPConnection):
        return False
    try:
        return all(hasattr(make(), name) for make, names in NEEDED for name in names.split())
    except (AttributeError, TypeError):  # it cannot even be made as it was
        return False
