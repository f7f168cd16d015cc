"""What our connections stand on in urllib3 and http.client without anybody's promise.

Where a name is missing, because urllib3 has changed or another package has replaced it
(urllib3-future does), requests' own adapter is used, on a connection for each call: all works but
cancelling, which waits for the next byte.

A name may still be there and no longer be used.  What matters most is rehearsed, without a network:
that a connection which an answer lets go of is given back to us.  If that fails unseen, no harm is
done but that no connection serves a second call: one whose exchange has not let go of it is shut
down at the end of its answer (``Exchange.end``), wherever it may lie.
"""

from __future__ import annotations

import http.client
import io
from typing import TYPE_CHECKING, Any

import urllib3.connection
import urllib3.connectionpool
import urllib3.poolmanager
import urllib3.response
import urllib3.util.ssl_

from inferd_engine.idle import Idle
from inferd_engine.pool import OwningAdapter, OwningPool

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
        has_names = all(hasattr(make(), name) for make, names in NEEDED for name in names.split())
        return has_names and _is_given_back()
    except Exception:  # noqa: BLE001 - one of them cannot even be made as it was
        return False


def _is_given_back() -> bool:
    """Rehearse the end of an answer: its connection has to come back to a pool of ours."""
    pool = OwningAdapter().poolmanager.connection_from_url("http://localhost")
    connection: Any = _Given()
    urllib3.response.HTTPResponse(pool=pool, connection=connection).release_conn()
    return isinstance(pool.pool, Idle) and connection.came_back


class _Given:
    """A connection that only remembers whether it was given back."""

    came_back = False
    is_connected = False

    def give_back(self) -> bool:
        self.came_back = True
        return False

    def close(self) -> None:
        pass
