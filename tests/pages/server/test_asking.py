"""The server of pages: who may ask, and for what."""

import json
import os

import pytest

from tests.support.server import ask, post, raw, serving


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_hosts_that_mean_this_machine(server, name):
    assert ask(server, Host=f"{name}:{server.server_port}")[0] == 200


HOSTS = [
    "127.0.0.1", "localhost", "127.0.0.1:1", "127.0.0.1:{}.evil.example", "evil.example", "evil.example:{}", "0.0.0.0:{}",
    "localhost.:{}", "127.0.0.1:{}@evil.example", "2130706433:{}", "127.1:{}", "[::ffff:127.0.0.1]:{}", "localhost:0{}",
    "user@localhost:{}", "", "127.0.0.1:{}, evil.example",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_another_host_is_refused(server, host, method):
    path, body = ("/api/echo", b"{}") if method == "POST" else ("/", None)
    status, _, text = ask(server, method, path, body, Host=host.format(server.server_port))
    assert status == 421
    assert server.token.encode() not in text


def test_no_host_and_two_hosts_are_refused(server):
    host = f"Host: 127.0.0.1:{server.server_port}\r\n"
    assert ask(server, Host=None)[0] == 421
    assert raw(server, f"GET / HTTP/1.1\r\n{host}{host}\r\n".encode())[0] == 421
    assert raw(server, f"GET / HTTP/1.1\r\n{host}Host: evil.example\r\n\r\n".encode())[0] == 421
    assert raw(server, b"GET / HTTP/1.0\r\n\r\n")[0] == 421


ORIGINS = [
    "null", "http://evil.example", "https://127.0.0.1:{}", "http://127.0.0.1", "http://127.0.0.1:1", "http://localhost:{}",
    "http://127.0.0.1:{}.evil.example", "http://127.0.0.1:{}/", "HTTP://127.0.0.1:{}", "file://", "",
    "http://evil.example http://127.0.0.1:{}",
]  # fmt: skip


@pytest.mark.parametrize("origin", ORIGINS)
def test_another_origin_is_refused_even_with_the_secret(server, origin):
    origin = origin.format(server.server_port)
    status, body, headers = post(server, {"text": "a"}, Origin=origin)
    assert (status, set(body)) == (403, {"error"})
    assert "Access-Control-Allow-Origin" not in headers
    assert ask(server, Origin=origin)[0] == 403


def test_a_preflight_of_another_origin_gets_nothing(server):
    status, headers, _ = ask(
        server,
        "OPTIONS",
        "/api/echo",
        Origin="http://evil.example",
        Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="x-superposition-token",
    )
    assert status == 405
    assert not [name for name in headers if name.startswith("Access-Control")]


def test_without_the_secret_nothing_is_answered(server):
    wrong = server.token[:-1] + ("A" if server.token[-1] != "A" else "B")
    for token in (None, "", wrong, server.token[:-1], server.token + "x", server.token.swapcase(), "é" * 43):
        status, body, _ = post(server, {"text": "a"}, X_Superposition_Token=token)
        assert (status, set(body)) == (403, {"error"}), token
        assert server.token not in body["error"]


PATHS = [
    "/../secret.html", "/features/../../secret.html", "/..%2fsecret.html", "/%2e%2e/secret.html", "/%2e%2e%2fsecret.html",
    "/..%252fsecret.html", "/..\\secret.html", "/..%5csecret.html", "/....//secret.html", "/%c0%ae%c0%ae/secret.html",
    "/linked.html", "/linked/1.js", "/texts/1.js", "/features/8.js", "/features/08.js",
    "/.hidden.html", "/notes.txt", "/features", "/features/", "/features/7.js/",
    "/features/7.js%00.html",
    "/features/7%2ejs", "/FEATURES/7.js", "/index.html/../linked.html", "/etc/passwd", "//etc/passwd", "file:///etc/passwd",
    "http://evil.example/", "/?url=http://evil.example/", "*", "/features/7.js?x=1", "/.", "/\u00e9",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_is_not_in_the_list_is_not_there(server, path):
    status, _, body = ask(server, path=path)
    assert status == 404
    assert b"secret" not in body
    assert "error" in json.loads(body)


def test_a_file_exchanged_after_the_start_is_not_served(folder):
    page = folder / "features" / "7.js"
    with serving(folder) as server:
        assert ask(server, path="/features/7.js")[0] == 200
        os.replace(folder.parent / "secrets" / "1.js", page)
        assert ask(server, path="/features/7.js")[0] == 404
        page.unlink()
        page.symlink_to(folder.parent / "secret.html")
        assert ask(server, path="/features/7.js")[0] == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "FOO", "get"])
def test_other_methods_are_refused(server, method):
    for path in ("/", "/api/echo"):
        status, headers, body = ask(server, method, path)
        assert (status, headers["Allow"]) == (405, "GET, HEAD, POST")
        assert "error" in json.loads(body)


def test_a_method_for_what_it_is_not_for(server):
    assert [ask(server, m, "/api/echo")[0] for m in ("GET", "HEAD")] == [405, 405]
    for path in ("/", "/index.html", "/features/7.js"):
        status, body, headers = post(server, {}, path)
        assert (status, headers["Allow"], set(body)) == (405, "GET, HEAD", {"error"})
    assert post(server, {}, "/api/nothing")[0] == 404
    assert post(server, {}, "/api/echo/")[0] == 404
