"""The server of pages: what it gives to its own pages."""

import re
import socket

import pytest

from superposition.pages.server import HOST
from tests.support.server import PAGE, POLICY, SCRIPT, ask, post, serving


def test_the_first_page_has_this_starts_secret_and_the_file_on_disk_has_not(server, folder):
    for path in ("/", "/index.html"):
        status, headers, body = ask(server, path=path)
        assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        meta = re.search(rb'<meta name="superposition-token" content="([A-Za-z0-9_-]{40,})">', body)
        assert meta
        assert meta[1].decode() == server.token
        assert body.replace(meta[0], b"") == PAGE.encode()
    with serving(folder) as other:
        assert other.token != server.token
        ask(other)
    assert (folder / "index.html").read_text() == PAGE


def test_files_come_with_their_type_and_nothing_else_may_use_or_keep_them(server):
    status, headers, body = ask(server, path="/features/7.js")
    assert (status, body) == (200, SCRIPT.encode())
    assert headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Cross-Origin-Opener-Policy"] == headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in headers
    assert "Python" not in str(headers)


def test_the_policy_of_the_page_is_its_own_and_forbids_frames(server):
    assert ask(server)[1]["Content-Security-Policy"] == f"{POLICY}; frame-ancestors 'none'"


def test_head_has_the_headers_of_get_and_no_body(server):
    for path in ("/", "/features/7.js", "/nothing"):
        status, headers, body = ask(server, "HEAD", path)
        same = ask(server, "GET", path)
        assert (status, headers["Content-Length"], body) == (same[0], same[1]["Content-Length"], b"")
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection:
        connection.sendall(
            f"HEAD /{server.token}/ HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n\r\n".encode()
        )
        connection.shutdown(socket.SHUT_WR)
        assert b"".join(iter(lambda: connection.recv(4096), b"")).endswith(b"\r\n\r\n")


def test_a_range_is_not_taken_apart(server):
    for wanted in ("bytes=0-3", "bytes=-1", "bytes=9999999-", "bytes=0-0,1-1,2-2"):
        assert ask(server, path="/features/7.js", Range=wanted)[::2] == (200, SCRIPT.encode())


def test_an_answer_is_json_of_the_request(server):
    value = {"text": "שלום \U0001f600", "strengths": [0, -1.5], "n": 3, "none": None, "yes": True}
    status, body, headers = post(server, value)
    assert (status, body) == (200, {"you sent": value})
    assert headers["Content-Type"] == "application/json"
    assert headers["Cache-Control"] == "no-store"
    same = f"http://127.0.0.1:{server.server_port}"
    assert post(server, value, Origin=same)[0] == 200
    assert post(server, value, Content_Type="application/json; charset=utf-8")[0] == 200


def test_it_listens_on_the_loopback_alone(server):
    assert server.socket.getsockname()[0] == "127.0.0.1"
    assert server.socket.family == socket.AF_INET
    try:
        own = socket.gethostbyname(socket.gethostname())
    except socket.gaierror:  # this machine has no other address that it knows
        own = HOST
    if not own.startswith("127."):
        with pytest.raises(OSError, match=r"refused|timed out"):
            socket.create_connection((own, server.server_port), timeout=2)
