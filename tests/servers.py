"""Servers on the loopback interface that the tests talk to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = tuple[int, dict[str, str], bytes]


@contextmanager
def moto_server() -> Iterator[str]:
    """An S3 that accepts every credential and checks no checksum; yields its endpoint."""
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Stub:
    """A server that answers every request as it is told to, and remembers them all."""

    endpoint: str = ""
    requests: list[Request] = field(default_factory=list)
    answer: Callable[[Request], Answer | None] = lambda _: (200, {}, b"")

    def refuse(self, status: int, code: str, **extra: str) -> None:
        """Answer as S3 does: an XML body that names the code, none to HEAD."""
        fields = "".join(f"<{name}>{value}</{name}>" for name, value in extra.items())
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>refused</Message>{fields}</Error>"
        self.answer = lambda _: (status, {"content-type": "application/xml"}, body.encode())


@contextmanager
def stub_server() -> Iterator[Stub]:
    """A :class:`Stub`; an answer of ``None`` cuts the connection."""
    stub = Stub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers, body)
            stub.requests.append(request)
            answer = stub.answer(request)
            if answer is None:
                self.close_connection = True
                return
            status, extra, content = answer
            self.send_response(status)
            for name, value in extra.items():
                self.send_header(name, value)
            if "content-length" not in extra:
                self.send_header("content-length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815 - names of the library

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    stub.endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
