"""A wrong TLS setting is told as such, by its name; nobody is asked for a passphrase."""

from __future__ import annotations

import contextlib
import os
import pathlib
import ssl
import sys
import textwrap

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

import inferd_engine as ie

PASSPHRASE = b"open sesame"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with files of every kind, right and wrong."""
    folder = tmp_path_factory.mktemp("files")
    authority = trustme.CA()
    mine, other = (authority.issue_cert("client.example") for _ in range(2))
    certificate = b"".join(pem.bytes() for pem in mine.cert_chain_pems)
    key = mine.private_key_pem.bytes()
    encrypted = serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(PASSPHRASE),
    )
    contents = {
        "authority.pem": authority.cert_pem.bytes(),
        "certificate.pem": certificate,
        "key.pem": key,
        "both.pem": certificate + key,
        "other_key.pem": other.private_key_pem.bytes(),
        "encrypted_key.pem": encrypted,
        "both_encrypted.pem": certificate + encrypted,
        "empty.pem": b"",
        "text.pem": b"this is no certificate\n",
        "binary.pem": bytes(range(256)),
        "cut.pem": certificate[:200],
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "folder").mkdir()
    (folder / "folder" / "authority.pem").write_bytes(contents["authority.pem"])
    return folder


def refusal(**settings):
    """Give the message with which a call is refused."""
    with ie.OpenAiCompat(base_url="https://127.0.0.1:9", api_key="", **settings) as backend:
        for call in (backend.models, lambda: backend.stream("x")):
            with pytest.raises(ie.InvalidRequestError) as caught:
                call()
    assert caught.value.retryable is False
    return str(caught.value)


WRONG_AUTHORITIES = {
    "missing.pem": "which is not there",
    "empty.pem": "not a file of certificates",
    "text.pem": "not a file of certificates",
    "binary.pem": "not a file of certificates",
    "cut.pem": "not a file of certificates",
    "key.pem": "not a file of certificates",
    "folder": "a folder without hashed certificates",
}


@pytest.mark.parametrize("name", WRONG_AUTHORITIES)
def test_verify(files, name):
    """What names no certificates to trust is refused before anything is sent."""
    path = str(files / name)
    assert refusal(verify=path).startswith(f"verify names {path!r}, {WRONG_AUTHORITIES[name]}")


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("name", WRONG_AUTHORITIES)
def test_variables(files, monkeypatch, variable, name):
    """The variable is named that the path came from."""
    path = str(files / name)
    monkeypatch.setenv(variable, path)
    assert refusal().startswith(f"{variable} names {path!r}, {WRONG_AUTHORITIES[name]}")


def test_a_variable_is_no_setting_of_a_call_in_clear(ask, monkeypatch):
    """Where no certificate is looked at, a wrong variable harms nobody."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/at/all.pem")
    assert ask().complete("x").text


WRONG_CERTS = {
    ("missing.pem",): "which is not there",
    ("certificate.pem", "missing.pem"): "which is not there",
    ("empty.pem",): "not a certificate and its private key",
    ("text.pem",): "not a certificate and its private key",
    ("certificate.pem",): "not a certificate and its private key",
    ("key.pem",): "not a certificate and its private key",
    ("certificate.pem", "certificate.pem"): "not a certificate and a key",
    ("key.pem", "certificate.pem"): "not a certificate and a key",
    ("certificate.pem", "empty.pem"): "not a certificate and a key",
    ("certificate.pem", "other_key.pem"): "a private key that does not belong to the certificate",
    ("certificate.pem", "encrypted_key.pem"): "an encrypted private key",
    ("both_encrypted.pem",): "an encrypted private key",
    ("folder",): "which cannot be read",
}


@pytest.mark.parametrize("names", WRONG_CERTS, ids=" ".join)
def test_cert(files, names):
    """What is no certificate with its key is refused; the message names the file."""
    paths = tuple(str(files / name) for name in names)
    message = refusal(cert=paths if len(paths) > 1 else paths[0])
    assert message.startswith("cert names ")
    assert message.count(WRONG_CERTS[names]) == 1
    assert names[-1] in message


@pytest.mark.skipif(getattr(os, "geteuid", int)() == 0, reason="root may read everything")
@pytest.mark.parametrize("field", ["verify", "cert"])
def test_files_that_may_not_be_read(files, tmp_path, field):
    """So is what may not be read."""
    path = tmp_path / "hidden.pem"
    path.write_bytes((files / "both.pem").read_bytes())
    path.chmod(0)
    assert "which cannot be read: Permission denied" in refusal(**{field: str(path)})


@pytest.mark.parametrize("path", ["/nowhere/at/all.log", "."])
def test_a_variable_that_others_read(ask, authority, monkeypatch, path):
    """urllib3 writes secrets of TLS where a variable says, which may be nowhere."""
    context, trusted = authority
    monkeypatch.setenv("SSLKEYLOGFILE", path)
    with pytest.raises(ie.InvalidRequestError, match=r"^SSLKEYLOGFILE names '"):
        ask(ssl_context=context, verify=trusted).stream("x")


def test_a_path_that_is_none(files):
    """A path that no system takes is refused, too."""
    assert refusal(verify="a\0b").startswith("verify names 'a\\x00b', which cannot be read")


@pytest.mark.parametrize("names", [("both.pem",), ("certificate.pem", "key.pem")], ids=" ".join)
def test_a_certificate_that_is_right(ask, files, names):
    """It is shown to the server; when the file is spoilt later, that is seen."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(files / "authority.pem")
    trusted = pathlib.Path("trusted.pem").resolve()  # each test has a folder of its own
    trusted.write_bytes(authority.cert_pem.bytes())
    cert = tuple(str(files / name) for name in names)
    backend = ask(ssl_context=server, verify=trusted, cert=cert if len(cert) > 1 else cert[0])
    assert backend.complete("x").text
    trusted.write_bytes(b"")
    with pytest.raises(ie.InvalidRequestError, match=r"trusted.pem', not a file of certificates"):
        backend.complete("x")


def test_a_folder_of_hashed_certificates(ask, authority):
    """A folder as openssl rehash makes it is a setting that is right; this one trusts others."""
    context, trusted = authority
    folder = pathlib.Path("folder")
    folder.mkdir()
    (folder / "01234567.0").write_bytes(pathlib.Path(trusted).read_bytes())
    backend = ask(ssl_context=context, verify=folder.resolve())
    with pytest.raises(ie.TransportError, match="not trusted"):
        backend.complete("x")


ON_A_TERMINAL = """
    import sys
    import inferd_engine as ie
    cert = sys.argv[1:] if sys.argv[2:] else sys.argv[1]
    try:
        ie.OpenAiCompat(base_url="https://127.0.0.1:9", api_key="", cert=cert).stream("x")
    except ie.InvalidRequestError as error:
        print("refused:", str(error)[-50:])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a pseudo-terminal")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # fork with threads
@pytest.mark.parametrize(
    "names", [("both_encrypted.pem",), ("certificate.pem", "encrypted_key.pem")]
)
def test_nobody_is_asked_on_the_terminal(files, names):
    """OpenSSL would ask for the passphrase there, and the call would wait for an answer."""
    import pty

    program = [sys.executable, "-c", textwrap.dedent(ON_A_TERMINAL)]
    process, terminal = pty.fork()
    if process == 0:
        os.execv(sys.executable, [*program, *(str(files / name) for name in names)])
    said = b""
    try:
        with contextlib.suppress(OSError):  # EIO: the other side has gone
            while b"phrase" not in said.lower() and (data := os.read(terminal, 4096)):
                said += data
    finally:
        os.close(terminal)  # which ends whoever waits for an answer
    assert os.waitpid(process, 0)[1] == 0, said
    assert said.decode().startswith("refused: ")
    assert "decrypt it (openssl pkey) first" in said.decode()
