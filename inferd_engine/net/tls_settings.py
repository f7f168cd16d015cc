"""Check TLS settings before they are used: a wrong one is the configuration's fault.

requests and OpenSSL tell of a wrong file as if the network had failed, without its name, and of an
encrypted private key by asking for its passphrase on the terminal, wherever that is.  So each file
is tried here first, with a context that nothing else uses; what was right is remembered for as long
as the file stays what it was.
"""

from __future__ import annotations

import functools
import os
import re
import ssl
from typing import NoReturn, Union

from inferd_engine.errors import InvalidRequestError

Verify = Union[bool, str]
Cert = Union[str, "tuple[str, str]"]

VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # those that requests reads, in its order
_HASHED = re.compile(r"[0-9a-f]{8}\.\d+")  # OpenSSL's name of a certificate in a folder
_REMEMBERED = 64  # files; a program has a handful


def verify_of(verify: Verify | None, url: str) -> Verify:
    """Return what certificates are checked against: as it is set, else as the environment says.

    Raises:
        InvalidRequestError: It names a file or a folder that cannot be used.
    """
    place = "verify"
    if verify is None:
        place = next(filter(os.environ.get, VARIABLES), "")
        verify = os.environ[place] if place else True
        if not url.lower().startswith("https"):
            return True  # nobody asks: a variable is not this call's setting
    if not isinstance(verify, bool):
        _check_authorities(place, verify, _state(place, verify))
    return verify


def check_cert(cert: Cert | None) -> None:
    """Check whether a client's certificate and its private key can be used.

    Raises:
        InvalidRequestError: They cannot; the message says why.
    """
    if cert is not None:
        files = (cert,) if isinstance(cert, str) else tuple(cert)
        _check_chain(files, tuple(_state("cert", file) for file in files))


def _state(place: str, path: str) -> tuple[int, ...]:
    """Return what changes when a file does."""
    try:
        found = os.stat(path)  # noqa: PTH116 - of a str
    except (OSError, ValueError) as error:
        _refuse(place, path, _reason(error))
    return found.st_mtime_ns, found.st_size, found.st_ino


@functools.lru_cache(_REMEMBERED)
def _check_authorities(place: str, path: str, _: tuple[int, ...]) -> None:
    try:
        if not os.path.isdir(path):  # noqa: PTH112
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
        elif not any(map(_HASHED.fullmatch, os.listdir(path))):  # noqa: PTH208
            _refuse(place, path, "a folder without hashed certificates (openssl rehash makes them)")
    except OSError as error:
        is_tls = isinstance(error, ssl.SSLError)
        _refuse(place, path, "not a file of certificates (PEM)" if is_tls else _reason(error))


@functools.lru_cache(_REMEMBERED)
def _check_chain(files: tuple[str, ...], _: tuple[tuple[int, ...], ...]) -> None:
    def refuse_to_ask() -> NoReturn:
        _refuse("cert", files[-1], "an encrypted private key: decrypt it (openssl pkey) first")

    for file in files:
        try:
            with open(file, "rb"):  # noqa: PTH123
                pass
        except OSError as error:
            _refuse("cert", file, _reason(error))
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_cert_chain(files[0], files[-1], password=refuse_to_ask)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            _refuse("cert", files[-1], "a private key that does not belong to the certificate")
        what = "certificate and its private key" if len(files) == 1 else "certificate and a key"
        _refuse("cert", " and ".join(files), f"not a {what} (PEM)")


def refusal_of(error: OSError) -> InvalidRequestError:
    """Make the error for a file that could not be used after all, or that others read."""
    path = os.fsdecode(error.filename)
    place = "SSLKEYLOGFILE" if os.environ.get("SSLKEYLOGFILE") == path else "a setting of TLS"
    return InvalidRequestError(f"{place} names {path!r}, {_reason(error)}")


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return "which is not there"
    return f"which cannot be read: {getattr(error, 'strerror', None) or error}"


def _refuse(place: str, path: str, why: str) -> NoReturn:
    raise InvalidRequestError(f"{place} names {path!r}, {why}") from None
