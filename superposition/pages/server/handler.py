"""One request to the server of pages: who may ask, what is answered, and what is refused."""

import contextlib
import io
import json
import re
import socket
import sys
import traceback
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from superposition.pages.server.request import Arriving, Refusal, parsed
from superposition.pages.server.served import INDEX

if TYPE_CHECKING:
    from superposition.pages.server.server import Server

HTML, SCRIPT, JSON = "text/html; charset=utf-8", "text/javascript; charset=utf-8", "application/json"
HEADER = "X-Superposition-Token"
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


class Handler(BaseHTTPRequestHandler):
    """One request a connection (HTTP/1.0), so that what a refused body holds is never read as a request."""

    server: "Server"
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
            log_exception()
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


def log_exception() -> None:
    """To standard error, with nothing in it that acts on a terminal."""
    text = traceback.format_exc()
    print("".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text), file=sys.stderr)
