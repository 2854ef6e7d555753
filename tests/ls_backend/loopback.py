"""Real servers on loopback for tests of what is fetched: each answers with what a function writes to its socket."""

import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass, field


@dataclass
class Request:
    """As it came over the wire. headers: names in lower case."""

    line: str
    headers: dict
    body: bytes

    @property
    def path(self):
        return self.line.split()[1]


@dataclass
class Loopback:
    """Calls `answer(request, connection)` for every request, each on a thread, and keeps the requests.

    answer: bytes to send, or None where it has written to the connection itself.
    """

    answer: object
    address: str = "127.0.0.1"
    tls: ssl.SSLContext | None = None
    requests: list = field(default_factory=list)

    def __enter__(self):
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        self.listener = socket.socket(family)
        self.listener.bind((self.address, 0))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(5)

    def _accept(self):
        while not self.stopped.is_set():
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with suppress(OSError), connection:
            connection.settimeout(30)
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            request = _read(connection)
            self.requests.append(request)
            content = self.answer(request, connection)
            if content is not None:
                connection.sendall(content)
            connection.close()


def _read(connection):
    with connection.makefile("rb") as file:
        line = file.readline().decode("latin-1").strip()
        headers = {}
        while header := file.readline().decode("latin-1").strip():
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        return Request(line, headers, file.read(int(headers.get("content-length", 0))))


def reply(status=200, body=b"", length=True, **headers):
    """An answer as bytes; underscores in header names stand for hyphens."""
    lines = [f"HTTP/1.1 {status} X", "Connection: close"]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
