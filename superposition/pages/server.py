"""Pages over HTTP on this machine alone, and a small API beside them that only the pages themselves may call.

Other pages in the user's browser and other users of the machine are not trusted: a Host that is not this
server's (DNS rebinding), an Origin that is not, and any request without the secret of this start are refused. The
secret is in the address that is printed, /?token=SECRET, which leads to the pages below /SECRET/, and in a header of
what they ask. It is in no cookie, for a browser sends those to the servers of other users at other ports too. Files
come from a list made at the start, so that no part of a request ever becomes a path.
"""

import contextlib
import hmac
import io
import json
import os
import re
import secrets
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any

from superposition._internal import validate
from superposition.errors import ConfigError, SuperpositionError
from superposition.pages._request import Arriving, Refusal, parsed
from superposition.pages._served import INDEX, first_page, listed

Answer = Callable[[dict[str, Any]], dict[str, Any]]

HTML, SCRIPT, JSON = "text/html; charset=utf-8", "text/javascript; charset=utf-8", "application/json"
HOST, HEADER = "127.0.0.1", "X-Superposition-Token"
SAID = 500  # characters of an error's sentence
LINGER = 1.0  # seconds in which a client may still send what is not read
NOTHING = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True)
class Limits:
    """Bytes of a body, seconds for a request to arrive or a response to leave and for a turn, connections at once."""

    body: int = 64 << 10
    seconds: float = 10.0
    turn: float = 30.0
    connections: int = 32


def make_server(
    folder: Path, answers: Mapping[str, Answer], port: int = 0, *, limits: Limits | None = None
) -> "Server":
    """A server of the pages in `folder`, bound to 127.0.0.1; port 0 takes any that is free.

    answers: "/api/..." to a function from the request's JSON object to the response's. Raises ConfigError where
    there are no pages, or where the port is taken.
    """
    validate.integer("port", port, 0, 2**16)
    return Server(Path(folder), dict(answers), port, limits or Limits())


class Server(ThreadingHTTPServer):
    """One thread a connection, one answer of the API at a time."""

    daemon_threads = True
    request_queue_size = 64
    allow_reuse_address = os.name == "posix"  # elsewhere it would let another program take the port over

    def __init__(self, folder: Path, answers: dict[str, Answer], port: int, limits: Limits) -> None:
        self.answers, self.limits, self.token = answers, limits, secrets.token_urlsafe(32)
        self.files = listed(folder)
        self.index, self.policy = first_page(folder / INDEX, self.token)
        self._free = threading.BoundedSemaphore(limits.connections)
        self._turn, self._closed, self._begun = threading.Lock(), threading.Event(), False
        try:
            super().__init__((HOST, port), Handler)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {HOST}:{port}: {error.strerror}; give another --port, or 0"
            ) from error
        self.hosts = {f"{name}:{self.server_port}" for name in (HOST, "localhost", "[::1]")}

    @property
    def address(self) -> str:
        """Where this listens."""
        return f"http://{HOST}:{self.server_port}/"

    @property
    def url(self) -> str:
        """Where the pages are, for whoever may see them: the secret is in it."""
        return f"{self.address}?token={self.token}"

    def knows(self, secret: str) -> bool:
        """Whether this is the secret, in a time that does not tell how much of it is right."""
        return hmac.compare_digest(secret.encode(errors="replace"), self.token.encode())

    def serve_forever(self, poll_interval: float = 0.2) -> None:
        """Serve until `close` is called (from another thread)."""
        if not self._closed.is_set():
            self._begun = True
            super().serve_forever(poll_interval)

    def close(self) -> None:
        """Listen no more, and let the answer that is being computed end, for as long as a turn is waited for."""
        self._closed.set()
        if self._begun:
            self.shutdown()
        self.server_close()
        if self._turn.acquire(timeout=self.limits.turn):
            self._turn.release()

    def answer(self, path: str, request: dict[str, Any]) -> bytes:
        """The response of the API; Refusal for what it refuses, and where others take too long."""
        if not self._turn.acquire(timeout=self.limits.turn):
            raise Refusal(503, "the model is busy with other requests; try again later")
        try:
            if self._closed.is_set():
                raise Refusal(503, "the server is stopping")
            return json.dumps(self.answers[path](request), allow_nan=False).encode()
        except SuperpositionError as error:
            raise Refusal(400, str(error)) from error
        finally:
            self._turn.release()

    def server_bind(self) -> None:
        """As HTTPServer does, without its look-up of this machine's name in the network."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.socket.getsockname()[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for the connection, or 503 where there are too many."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
            return
        body = json.dumps({"error": "too many connections; try again later"}).encode()
        head = f"HTTP/1.0 503 Busy\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        with contextlib.suppress(OSError):
            request.settimeout(0.2)
            request.sendall(head.encode() + body)
            request.shutdown(socket.SHUT_WR)
            request.recv(1 << 16)
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread, which then gives its place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks is no news; anything else is, to whoever runs the server."""
        if not isinstance(sys.exception(), OSError):
            _log_exception()


class Handler(BaseHTTPRequestHandler):
    """One request a connection (HTTP/1.0), so that what a refused body holds is never read as a request."""

    server: Server
    default_request_version = "HTTP/1.0"  # 0.9 would have its errors without a status

    def setup(self) -> None:
        """Give reading a deadline."""
        super().setup()
        self.rfile = io.BufferedReader(Arriving(self.connection, self.server.limits.seconds))

    def finish(self) -> None:
        """Take in a body that was refused, within reason: closing over unread bytes would take the response back."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            late, buffer = Arriving(self.connection, LINGER), bytearray(1 << 16)
            for _ in range(16):
                if not late.readinto(buffer):
                    break
        super().finish()

    def do_GET(self) -> None:
        """A file of the pages."""
        self._respond(self._static)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """An answer of the API."""
        self._respond(self._api)

    def _respond(self, make: Callable[[], tuple[bytes, str, str]]) -> None:
        try:
            self._same_origin()
            self.path = self._path_behind_secret()
            body, kind, policy = make()
        except Refusal as refusal:
            self._refuse(refusal)
        except ConnectionError:
            raise
        except Exception:
            _log_exception()
            self._refuse(Refusal(500, "an error in the server; its terminal says which"))
        else:
            self._send(200, body, kind, policy)

    def _same_origin(self) -> None:
        host, origin = (self.headers.get_all(name, []) for name in ("Host", "Origin"))
        if len(host) != 1 or host[0].lower() not in self.server.hosts:
            raise Refusal(421, f"this server is {self.server.address} and no other host")
        if origin and origin != [f"http://{host[0]}"]:
            raise Refusal(403, "requests from other origins are refused")

    def _path_behind_secret(self) -> str:
        """The path without the secret; Refusal unless it is there, in the header alone for what a page may not send."""
        server, (path, _, query) = self.server, self.path.partition("?")
        if server.knows(self._one(HEADER)):
            return self.path
        first, slash, rest = path[1:].partition("/")
        if self.command != "POST" and slash and server.knows(first):
            return f"/{rest}" + (f"?{query}" if query else "")
        if self.command != "POST" and server.knows(query.removeprefix("token=")):
            if path in ("/", f"/{INDEX}"):
                raise Refusal(303, "the pages are there", Location=f"/{server.token}/")
            return path
        raise Refusal(
            403,
            "this takes the secret of this start: open the address with ?token= that `superposition serve` printed",
        )

    def _static(self) -> tuple[bytes, str, str]:
        server, path = self.server, self.path
        if path in server.answers:
            raise Refusal(405, "this takes POST", Allow="POST")
        if path in ("/", f"/{INDEX}"):
            return server.index, HTML, server.policy
        if (file := server.files.get(path)) is None:
            raise Refusal(404, "there is no such page here")
        if (body := file.read()) is not None:
            return body, SCRIPT, NOTHING
        raise Refusal(404, "this page has changed since the server started; start the server again")

    def _api(self) -> tuple[bytes, str, str]:
        server, path = self.server, self.path
        if path not in server.answers:
            if path in ("/", f"/{INDEX}") or path in server.files:
                raise Refusal(405, "this takes GET and HEAD", Allow="GET, HEAD")
            raise Refusal(404, "there is no such thing to ask here")
        if self._one("Content-Type").split(";")[0].strip().lower() != "application/json":
            raise Refusal(415, "Content-Type must be application/json")
        if self.headers.get_all("Transfer-Encoding") or not (length := self._one("Content-Length")):
            raise Refusal(411, "a request needs a Content-Length, and comes in one piece")
        if not re.fullmatch("[0-9]{1,15}", length):
            raise Refusal(400, "Content-Length must be a number of bytes")
        if int(length) > server.limits.body:
            raise Refusal(413, f"a request has at most {server.limits.body} bytes")
        try:
            body = self.rfile.read(int(length))
        except TimeoutError as error:
            raise Refusal(408, f"a request has {server.limits.seconds:g} s to arrive") from error
        if len(body) < int(length):
            raise Refusal(400, "the request ends before its Content-Length")
        return server.answer(path, parsed(body)), JSON, NOTHING

    def _one(self, name: str) -> str:
        """A header's value, "" where it is missing; the same header twice is two answers to one question."""
        values = self.headers.get_all(name, [])
        if len(values) > 1:
            raise Refusal(400, f"{name} is there twice")
        return values[0].strip() if values else ""

    def _send(self, status: int, body: bytes, kind: str, policy: str, **more: str) -> None:
        self.connection.settimeout(self.server.limits.seconds)
        self.send_response(status)
        own = {"Content-Type": kind, "Content-Length": str(len(body)), "Content-Security-Policy": policy}
        for name, value in (own | SAFE | more).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, refusal: Refusal) -> None:
        body = json.dumps({"error": str(refusal)[:SAID]}).encode()
        self._send(refusal.status, body, JSON, NOTHING, **refusal.headers)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the standard library refuses by itself, as we do: methods, lines and headers too long."""
        if code == HTTPStatus.NOT_IMPLEMENTED:
            self._refuse(Refusal(405, "this takes GET, HEAD and POST", Allow="GET, HEAD, POST"))
        else:
            self._refuse(Refusal(code, HTTPStatus(code).phrase))

    def version_string(self) -> str:
        """Who answers, without the versions of anything."""
        return "superposition"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: requests are the user's own."""


def _log_exception() -> None:
    """To standard error, with nothing in it that acts on a terminal."""
    text = traceback.format_exc()
    print("".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text), file=sys.stderr)
