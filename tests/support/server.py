"""A folder of pages, its server, and requests to it, down to the byte."""

import http.client
import json
import socket
import threading
from contextlib import contextmanager

from superposition.errors import ConfigError
from superposition.pages.server import Server, make_server

POLICY = "default-src 'none'; script-src 'sha256-abc='; connect-src 'self'"


PAGE = (
    f'<!doctype html><html><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    "<title>p</title></head><body>pages</body></html>"
)


SCRIPT = 'superposition.take("features/7", "{}")'


def write(folder):
    pages = folder / "pages"
    (pages / "features").mkdir(parents=True)
    (pages / "index.html").write_text(PAGE)
    (pages / "features" / "7.js").write_text(SCRIPT)
    (folder / "secret.html").write_text("secret")
    (folder / "secrets").mkdir()
    (folder / "secrets" / "1.js").write_text("secret")
    (pages / "linked.html").symlink_to(folder / "secret.html")
    (pages / "linked").symlink_to(folder / "secrets")
    (pages / "texts").symlink_to(folder / "secrets")
    (pages / "features" / "8.js").symlink_to(folder / "secrets" / "1.js")
    (pages / "features" / "08.js").write_text("secret")
    (pages / ".hidden.html").write_text("secret")
    (pages / "notes.txt").write_text("secret")
    return pages


def echo(request):
    if request.get("text") == "fault":
        raise RuntimeError("a secret of the server")
    if request.get("text") == "refused":
        raise ConfigError("text must be something else; got 'refused'")
    if request.get("text") == "nan":
        return {"a": float("nan")}
    return {"you sent": request}


@contextmanager
def serving(folder, answers=None, limits=None):
    server = make_server(folder, {"/api/echo": echo} if answers is None else answers, limits=limits)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join(5)
        assert not thread.is_alive()


def ask(server: Server, method="GET", path="/", body=None, **headers):
    """Status, headers, body; headers given as Name_with_underscores, None leaves out what would be there."""
    own = {"Host": f"127.0.0.1:{server.server_port}", "X-Superposition-Token": server.token}
    if method == "POST":
        own |= {"Content-Type": "application/json", "Content-Length": str(len(body or b""))}
    own |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {path} HTTP/1.1", *(f"{n}: {v}" for n, v in own.items() if v is not None)]
    return raw(server, "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b""))


def raw(server: Server, data: bytes):
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=120) as connection:
        connection.sendall(data)
        answer = http.client.HTTPResponse(connection, method=data.split(b" ")[0].decode("latin-1"))
        answer.begin()
        return answer.status, answer.headers, answer.read()


def post(server, value, path="/api/echo", **headers):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    status, got, text = ask(server, "POST", path, body, **headers)
    return status, json.loads(text), got
