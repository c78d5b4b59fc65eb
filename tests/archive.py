"""A server on loopback that speaks the archives' protocols, and misbehaves on demand.

`Archive` answers from `routes`: path to a function of the request. A *fault* is a function of the request and of how
often this very request came before; it gives the name of what goes wrong, or "".
"""

import contextlib
import hashlib
import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

HTML = b"<!DOCTYPE html><html><head><title>Scheduled maintenance</title></head><body>Back soon.</body></html>"
VOTABLE_ERROR = (
    b'<?xml version="1.0"?><VOTABLE version="1.3"><RESOURCE type="results">'
    b'<INFO name="QUERY_STATUS" value="ERROR">Column raa is unknown</INFO></RESOURCE></VOTABLE>'
)


@dataclass
class Request:
    method: str
    path: str
    params: dict[str, str]
    body: bytes
    headers: dict[str, str]

    @property
    def key(self) -> str:
        return f"{self.method} {self.path} {json.dumps(self.params, sort_keys=True)} {self.body!r}"


@dataclass
class Reply:
    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


Route = Callable[[Request], Reply]
Fault = Callable[[Request, int], str]


def by_chance(share: float, kinds: tuple[str, ...], seed: int = 0) -> Fault:
    """Faults at random moments, the same for the same seed."""

    def fault(request: Request, before: int) -> str:
        digest = hashlib.sha256(f"{seed} {before} {request.key}".encode()).digest()
        return kinds[digest[1] % len(kinds)] if digest[0] < 256 * share else ""

    return fault


@dataclass
class Archive:
    """See the module."""

    routes: dict[str, Route] = field(default_factory=dict)
    fault: Fault = lambda request, before: ""
    latency: float = 0.0
    asked: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    seen: list[Request] = field(default_factory=list)
    most_at_once: int = 0
    at_once: int = 0
    url: str = ""

    def __post_init__(self) -> None:
        self.lock = threading.Lock()

    @contextlib.contextmanager
    def serving(self) -> Iterator["Archive"]:
        server = _Server(("127.0.0.1", 0), _Handler)
        server.archive = self
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    archive: Archive

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_DELETE = do_GET

    def log_message(self, *words: Any) -> None:
        pass

    def _answer(self) -> None:
        archive = self.server.archive
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        params = dict(parse_qsl(parts.query, keep_blank_values=True))
        if self.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
            params |= dict(parse_qsl(body.decode(), keep_blank_values=True))
        request = Request(self.command, parts.path, params, body, {k.lower(): v for k, v in self.headers.items()})
        with archive.lock:
            before = archive.asked[request.key]
            archive.asked[request.key] += 1
            archive.seen.append(request)
            archive.at_once += 1
            archive.most_at_once = max(archive.most_at_once, archive.at_once)
        try:
            if archive.latency:
                time.sleep(archive.latency)
            route = archive.routes.get(parts.path) or next(
                (
                    one
                    for prefix, one in archive.routes.items()
                    if prefix.endswith("/") and parts.path.startswith(prefix)
                ),
                lambda request: Reply(b"no such thing here", 404),
            )
        finally:
            with archive.lock:  # before the answer, after which the client may ask for the next
                archive.at_once -= 1
        self._send(request, archive.fault(request, before), route)

    def _send(self, request: Request, fault: str, route: Route) -> None:
        if fault in ("429", "503", "500", "404"):
            return self._reply(Reply(b"not now", int(fault), {"Retry-After": "0"} if fault == "429" else {}))
        if fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            return None
        if fault == "html":
            return self._reply(Reply(HTML, headers={"Content-Type": "text/html"}))
        if fault == "error200":
            return self._reply(Reply(VOTABLE_ERROR))
        reply = route(request)
        if fault == "stall":
            time.sleep(1.5)
            self.close_connection = True
            return None
        if not reply.body:  # nothing that could be cut
            return self._reply(reply)
        if fault in ("half", "longer"):
            length = len(reply.body) if fault == "half" else len(reply.body) + 1000
            self.send_response(reply.status)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(reply.body[: len(reply.body) // 2] if fault == "half" else reply.body)
            self.close_connection = True
            return None
        if fault == "cut":  # an answer that tells no length and ends too early
            self.send_response(reply.status)
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(reply.body[: int(len(reply.body) * 0.7)])
            self.close_connection = True
            return None
        self._reply(reply)
        with self.server.archive.lock:
            self.server.archive.answered[request.key] += 1
        return None

    def _reply(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for key, value in reply.headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)
