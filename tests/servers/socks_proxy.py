"""A small SOCKS proxy on loopback: versions 4, 4a and 5, and whatever may go wrong with it."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading


class SocksProxy:
    """Serve as a proxy until the ``with`` block ends.

    Args:
        stalls: The step at which it falls silent for ever: ``"greeting"``, ``"password"`` or
            ``"request"``.
        trickles: The step whose answer it gives byte by byte, and never to its end.
        refuses: What it answers to every request, a number of the protocol's.
        password: It wants ``user`` and this.
        names: Where names lead that nobody else knows.
    """

    def __init__(self, *, stalls="", trickles="", refuses=0, password="", names=None):
        self._stalls = stalls
        self._trickles = trickles
        self._refuses = refuses
        self._password = password
        self._names = names or {}
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._over = threading.Event()
        self.asked: list[tuple[int, str, int]] = []
        """For each request the version, the host as it was named, and the port."""
        self.users: list[str] = []
        self.arrived = threading.Event()
        """That somebody waits where it stalls or trickles."""
        self.client_gone = threading.Event()
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def url(self, scheme="socks5h", credentials=""):
        """Give the address of this proxy."""
        return f"{scheme}://{credentials}{self.address}"

    def __enter__(self):
        self._start(self._accept)
        return self

    def __exit__(self, *_):
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5.0)

    def _start(self, target, *arguments):
        thread = threading.Thread(target=target, args=arguments, name="test-upstream-socks")
        thread.daemon = True
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open.add(client)
            self._start(self._serve, client)

    def _serve(self, client):
        upstream = None
        try:
            with client.makefile("rb", 0) as reader:
                version = reader.read(1)
                asked = self._speak_5(client, reader) if version == b"\5" else self._speak_4(reader)
                if asked is None:
                    return
                self.asked.append((version[0], *asked))
                granted, refused = (b"\5\0\0\1" + b"\0" * 6, b"\5%c\0\1" + b"\0" * 6)
                if version == b"\4":
                    granted, refused = b"\0\x5a" + b"\0" * 6, b"\0%c" + b"\0" * 6
                if self._refuses:
                    self._answer(client, "request", refused % self._refuses)
                    return
                if "request" in (self._stalls, self._trickles):
                    self._answer(client, "request", granted)
                host, port = asked
                upstream = socket.create_connection(self._names.get(host, (host, port)))
                self._answer(client, "request", granted)
            for connection in (client, upstream):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.add(upstream)
            self._start(self._pipe, upstream, client)
            self._pipe(client, upstream)
        except (OSError, IndexError):
            pass
        finally:
            self.client_gone.set()
            for connection in filter(None, (client, upstream)):
                connection.close()
                self._open.discard(connection)

    def _speak_5(self, client, reader):
        methods = reader.read(reader.read(1)[0])
        if self._password:
            self._answer(client, "greeting", b"\5\2" if b"\2" in methods else b"\5\xff")
            reader.read(1)
            user = reader.read(reader.read(1)[0]).decode()
            password = reader.read(reader.read(1)[0]).decode()
            self.users.append(user)
            is_right = (user, password) == ("user", self._password)
            self._answer(client, "password", b"\1\0" if is_right else b"\1\1")
            if not is_right:
                return None
        else:
            self._answer(client, "greeting", b"\5\0")
        kind = reader.read(4)[3]
        if kind == 3:
            host = reader.read(reader.read(1)[0]).decode()
        elif kind == 1:
            host = socket.inet_ntoa(reader.read(4))
        else:
            host = socket.inet_ntop(socket.AF_INET6, reader.read(16))
        return host, struct.unpack("!H", reader.read(2))[0]

    def _speak_4(self, reader):
        _, port, address = struct.unpack("!BH4s", reader.read(7))
        self.users.append(self._until_zero(reader))
        is_named = address[:3] == b"\0\0\0" and address[3]
        return self._until_zero(reader) if is_named else socket.inet_ntoa(address), port

    def _until_zero(self, reader):
        text = b""
        while (byte := reader.read(1)) not in (b"\0", b""):
            text += byte
        return text.decode()

    def _answer(self, client, step, data):
        if step in (self._stalls, self._trickles):
            self.arrived.set()
        if step == self._stalls:
            client.recv(1)
            raise OSError
        if step == self._trickles:
            for byte in data[:-1]:
                client.sendall(bytes([byte]))
                self._over.wait(0.02)
            client.recv(1)
            raise OSError
        client.sendall(data)

    def _pipe(self, source, target):
        """Copy until one side goes, then let the other side know."""
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for connection in (source, target):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
