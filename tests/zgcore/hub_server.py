"""A model hub on this machine: the part of the real one's protocol that its client needs to fetch files."""

from __future__ import annotations

import hashlib
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_PATH = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


class Hub:
    """files: (repo, file) -> bytes. requests: (method, file, Range header), in order. sums: in place of
    the true ones.

    cut: files whose first download breaks off after so many bytes.
    """

    def __init__(self, files: dict[tuple[str, str], bytes]) -> None:
        self.files = files
        self.sums: dict[tuple[str, str], str] = {}
        self.cut: dict[tuple[str, str], int] = {}
        self.requests: list[tuple[str, str, str | None]] = []
        self.endpoint = ""


@contextmanager
def serve(files: dict[tuple[str, str], bytes]) -> Iterator[Hub]:
    hub = Hub(files)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, with_body: bool) -> None:
            match = _PATH.fullmatch(self.path)
            key = (match[1], match[3]) if match else ("", "")
            span = self.headers.get("Range")
            hub.requests.append((self.command, key[1], span))
            content = hub.files.get(key)
            if content is None:
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start = int(span.removeprefix("bytes=").split("-")[0]) if span else 0
            body = content[start:]
            self.send_response(206 if span else 200)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hub.sums.get(key, hashlib.sha256(content).hexdigest())}"')
            self.send_header("Content-Length", str(len(body)))
            if span:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            if with_body and key in hub.cut:
                self.wfile.write(body[: hub.cut.pop(key)])
                self.close_connection = True
            elif with_body:
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
