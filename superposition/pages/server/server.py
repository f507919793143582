"""Pages over HTTP on this machine alone, and a small API beside them that only the pages themselves may call.

Other pages in the user's browser and other users of the machine are not trusted: a Host that is not this
server's (DNS rebinding), an Origin that is not, and any request without the secret of this start are refused. The
secret is in the address that is printed, /?token=SECRET, which leads to the pages below /SECRET/, and in a header of
what they ask. It is in no cookie, for a browser sends those to the servers of other users at other ports too. Files
come from a list made at the start, so that no part of a request ever becomes a path.
"""

import contextlib
import hmac
import json
import os
import secrets
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any

from superposition._internal import validate
from superposition.errors import ConfigError, SuperpositionError
from superposition.pages.server.handler import Handler, log_exception
from superposition.pages.server.request import Refusal
from superposition.pages.server.served import INDEX, first_page, listed

# What answers a question of a served page: JSON in, JSON out.
Answer = Callable[[dict[str, Any]], dict[str, Any]]

# The one address that the server listens on: this machine itself.
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Limits:
    """Bytes of a body, seconds for a request to arrive or a response to leave and for a turn, connections at once.

    >>> Limits(seconds=5.0)
    Limits(body=65536, seconds=5.0, turn=30.0, connections=32)
    """

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

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     try:
    ...         make_server(Path(folder), {})
    ...     except ConfigError as error:
    ...         print(str(error).replace(folder, "FOLDER"))
    FOLDER/index.html: No such file or directory; write pages with `superposition page`, and give their folder
    """
    validate.integer("port", port, 0, 2**16)
    return Server(Path(folder), dict(answers), port, limits or Limits())


class Server(ThreadingHTTPServer):
    """One thread a connection, one answer of the API at a time.

    >>> issubclass(Server, ThreadingHTTPServer), HOST
    (True, '127.0.0.1')
    """

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
            log_exception()
