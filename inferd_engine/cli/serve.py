"""``serve``: any upstream as an OpenAI-compatible server on this machine.

Beyond this machine it wants a key, because whoever reaches it spends what the upstream costs.  It
runs on waitress where that is installed (the extra ``serve``), else on the standard library.
"""

from __future__ import annotations

import argparse
import importlib.util
import ipaddress
import logging
import os
import socket
import threading
from typing import TYPE_CHECKING, Any

import inferd_engine as ie
from inferd_engine.cli.asked import add_settings, settings_from
from inferd_engine.cli.exit_codes import (
    EXIT_INTERRUPTED,
    EXIT_UPSTREAM,
    EXIT_USAGE,
    table_of,
)
from inferd_engine.cli.llamacpp import llamacpp_from
from inferd_engine.cli.options import add_upstream
from inferd_engine.cli.terminal import say, write
from inferd_engine.cli.upstream import backend_from, shown, told_of
from inferd_engine.web import OpenAIApp
from inferd_engine.web.errors import json_error, openai_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from inferd_engine.cli.upstream import Answering

EPILOG = table_of(EXIT_UPSTREAM, EXIT_USAGE, EXIT_INTERRUPTED)
_THREADS = 64  # answers at once: each has a thread for as long as it lasts
_MAX_BODY_MB = 64
_LOOK_AROUND = 1.0  # seconds after which the main thread lets a Ctrl-C through, where waits do not


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``serve``."""
    add_upstream(parser, key_option="--upstream-key-from")
    parser.add_argument(
        "--llamacpp",
        metavar="FILE",
        help="a model in GGUF that is run here, by llama.cpp, instead of an upstream",
    )
    add_settings(parser)
    where = parser.add_argument_group("the server")
    where.add_argument(
        "--host", default="127.0.0.1", help="where to listen; this machine if left out"
    )
    where.add_argument("--port", type=_port, default=0, help="0, as if left out: any that is free")
    where.add_argument(
        "--key-from",
        dest="served_key_from",
        metavar="VARIABLE",
        help="the variable that holds the key that clients have to send",
    )
    where.add_argument(
        "--threads", type=_count, default=_THREADS, help=f"answers at once; {_THREADS} if left out"
    )
    where.add_argument(
        "--max-body",
        metavar="MB",
        type=_count,
        default=_MAX_BODY_MB,
        help=f"how large a request may be; {_MAX_BODY_MB} if left out",
    )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("is not a whole number above 0")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) >= 1 << 16:
        raise argparse.ArgumentTypeError("is not a port: 0 to 65535")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Serve until somebody stops it."""
    key = _key(options)
    max_body = options.max_body << 20
    with _backend(options) as backend, _listener(options.host, options.port) as listener:
        app = OpenAIApp(backend, api_key=key, max_body_bytes=max_body)
        server = _server(app if key else _OnThisMachine(app), listener, options.threads, max_body)
        write(f"listening on {_url_of(listener)} for {_served(backend)}\n")
        # In a thread, so that Ctrl-C finds one that only waits; the streams end with the backend.
        thread = threading.Thread(target=server, name="inferd-engine-server", daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(_LOOK_AROUND)
        finally:  # its threads stumble over what is closed under them: no news
            logging.getLogger("waitress").setLevel(logging.CRITICAL + 1)
    say("error: the server has ended by itself")
    return EXIT_UPSTREAM


def _backend(options: argparse.Namespace) -> Answering:
    asked = settings_from(options)
    if options.llamacpp is None:  # whether the model takes images and the like, it says
        return backend_from(options, asked=asked, vision=True, audio=True, documents=True)
    backend = llamacpp_from(options, asked)
    backend.load()
    return backend


def _served(backend: Answering) -> str:
    return told_of(backend) if isinstance(backend, ie.LlamaCpp) else shown(backend.config.base_url)


def _key(options: argparse.Namespace) -> str:
    variable = options.served_key_from
    key = os.environ.get(variable, "") if variable else ""
    if variable is not None and not key:
        raise ie.InvalidRequestError(
            "--key-from names a variable that is not set, or is empty "
            "(it is not shown here: it may be the key itself)"
        )
    if not key and not _is_here(options.host):
        raise ie.InvalidRequestError(
            f"{options.host} can be reached from other machines, which have to send a key: "
            "put one into a variable, and name that with --key-from VARIABLE"
        )
    return key


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _OnThisMachine:
    """Answer to names of this machine alone.

    A page may have the name of its site point here, and be told everything: to the browser it then
    asks its own site ("DNS rebinding").  The name stays in the request.
    """

    def __init__(self, app: OpenAIApp) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:  # WSGI
        host = environ.get("HTTP_HOST", "")
        name = (
            host.partition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
        )
        if name and not _is_here(name):
            told = "Ask by the address of this machine, or serve with a key."
            answer = json_error(421, openai_error(told, "invalid_request_error"))
            headers = [*answer.headers, ("Content-Length", str(len(answer.body)))]
            start_response("421 Misdirected Request", headers)  # RFC 9110, 15.5.20
            return [answer.body]
        return self._app(environ, start_response)


def _listener(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=1024)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ie.InvalidRequestError(
            f"cannot listen on {host}, port {port}: {why}; another --port, or 0, may do"
        ) from None


def _url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"


def _server(
    app: OpenAIApp | _OnThisMachine, listener: socket.socket, threads: int, max_body: int
) -> Callable[[], None]:
    """Return what serves, with waitress if it is there."""
    if importlib.util.find_spec("waitress") is not None:
        from inferd_engine.cli.waitress_server import server_of  # noqa: PLC0415 - an extra
    else:
        from inferd_engine.cli.threading_server import server_of  # noqa: PLC0415 - the other
    return server_of(app, listener, threads=threads, max_body=max_body)
