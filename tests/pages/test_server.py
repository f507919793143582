"""The server of pages: what it gives to its own pages, and what it refuses to anybody else."""

import http.client
import json
import os
import re
import select
import socket
import threading
import time
from contextlib import contextmanager

import pytest

from superposition.errors import ConfigError
from superposition.pages.server import HOST, Limits, Server, make_server

POLICY = "default-src 'none'; script-src 'sha256-abc='; connect-src 'self'"
PAGE = (
    f'<!doctype html><html><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    "<title>p</title></head><body>pages</body></html>"
)
SCRIPT = 'superposition.take("features/7", "{}")'
QUICK = Limits(seconds=0.5, turn=0.5, connections=6)


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


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path)


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


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(write(tmp_path_factory.mktemp("module"))) as one:
        yield one


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


# --- what it gives


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


# --- who may ask


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


# --- what may be asked for

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


# --- bodies


def test_a_body_of_more_than_64_kB_is_refused_and_one_of_64_kB_is_not(server):
    most = 64 << 10
    body = b'{"a": "' + b"x" * (most - 9) + b'"}'
    assert len(body) == most
    assert post(server, body)[0] == 200
    status, answer, _ = post(server, body + b" ")
    assert status == 413
    assert str(most) in answer["error"]
    assert post(server, b"{}", Content_Length=str(10**14))[0] == 413


def test_a_body_of_unknown_length_is_refused(server):
    assert post(server, b"{}", Content_Length=None)[0] == 411
    assert post(server, b"2\r\n{}\r\n0\r\n\r\n", Content_Length=None, Transfer_Encoding="chunked")[0] == 411
    assert post(server, b"{}", Transfer_Encoding="chunked")[0] == 411
    assert post(server, b"{}", Transfer_Encoding="identity")[0] == 411
    for length in ("-2", "+2", "2_0", "0x2", "2, 2", "two", "1e1", "9" * 40):
        assert post(server, b"{}", Content_Length=length)[0] == 400, length


def test_headers_twice_are_refused(server):
    for name, value in (
        ("Content-Length", "2"),
        ("Content-Type", "application/json"),
        ("X-Superposition-Token", server.token),
    ):
        head = {
            "Host": f"127.0.0.1:{server.server_port}",
            "Content-Length": "2",
            "Content-Type": "application/json",
            "X-Superposition-Token": server.token,
        }
        lines = [f"{n}: {v}" for n, v in head.items()]
        good = "POST /api/echo HTTP/1.1\r\n" + "\r\n".join(lines)
        assert raw(server, f"{good}\r\n\r\n{{}}".encode())[0] == 200
        assert raw(server, f"{good}\r\n{name}: {value}\r\n\r\n{{}}".encode())[0] == 400


@pytest.mark.parametrize(
    "kind",
    [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json"],
)
def test_what_a_form_can_send_is_refused(server, kind):
    assert post(server, {"text": "a"}, Content_Type=kind)[0] == 415


BODIES = [
    b"", b"{", b"null", b"[]", b'"a"', b"1", b'{"a": NaN}', b'{"a": Infinity}', b'{"a": -Infinity}', b'{"a": 1e400}',
    b'{"a": 1, "a": 2}', b'{"a": ' + b"9" * 5000 + b"}", b'{"a": 12345678901234567}', b'{"a": "\\ud800"}',
    b'{"\\udc00": 1}', b'{"a": "\xff"}',
    b"[" * 60_000, b'{"a":' * 12_000, b'{"a":[[[[1]]]]}', b"{} {}", b'{"a": 1,}', b"{'a': 1}", b'{"a": "\n"}', b"\x00",
    b"\xef\xbb\xbf{}",
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_what_is_no_object_of_plain_json_is_refused(server, body):
    status, answer, _ = post(server, body)
    assert (status, set(answer)) == (400, {"error"})
    assert len(answer["error"]) < 200


def test_refusals_are_said_and_faults_are_not(server, capfd):
    status, answer, _ = post(server, {"text": "refused"})
    assert (status, answer) == (400, {"error": "text must be something else; got 'refused'"})
    for text in ("fault", "nan"):
        status, answer, _ = post(server, {"text": text})
        assert status == 500
        assert "secret" not in str(answer)
        assert "Traceback" not in str(answer)
    assert "a secret of the server" in capfd.readouterr().err
    assert post(server, {"text": "and on it goes"})[0] == 200


# --- time and number


def seconds_of(server, head, part):
    """How long the server takes part after part, every tenth of a second, until it answers or hangs up."""
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection:
        connection.sendall(head.encode())
        while not select.select([connection], [], [], 0.1)[0] and time.monotonic() < begun + 4:
            connection.sendall(part)
        return time.monotonic() - begun, connection.recv(100)


def test_a_slow_request_ends_and_a_byte_now_and_then_does_not_keep_it_alive(folder):
    with serving(folder, limits=QUICK) as server:
        host = f"Host: 127.0.0.1:{server.server_port}\r\n"
        head = f"POST /api/echo HTTP/1.1\r\n{host}Content-Type: application/json\r\nContent-Length: 50\r\n"
        head += f"X-Superposition-Token: {server.token}\r\n\r\n"
        seconds, answer = seconds_of(server, head, b" ")
        assert answer.startswith(b"HTTP/1.0 408 ")
        assert seconds < 2
        seconds, answer = seconds_of(server, "GET / HTTP/1.1\r\n", b"A: b\r\n")
        assert answer == b""  # no whole head: nothing to answer
        assert seconds < 2
        assert ask(server)[0] == 200


def test_a_body_shorter_than_it_says(server):
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection:
        head = f"POST /api/echo HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: 9\r\nX-Superposition-Token: {server.token}\r\n\r\n"
        connection.sendall(head.encode() + b"{}")
        connection.shutdown(socket.SHUT_WR)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 400


def test_lines_and_headers_without_end_are_refused(server):
    host = f"Host: 127.0.0.1:{server.server_port}\r\n"
    assert raw(server, b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n")[0] == 414
    assert raw(server, f"GET / HTTP/1.1\r\n{host}A: {'a' * 70_000}\r\n\r\n".encode())[0] == 431
    assert raw(server, f"GET / HTTP/1.1\r\n{host}".encode() + b"A: b\r\n" * 200 + b"\r\n")[0] == 431
    assert raw(server, b"GET / HTTP/9.9\r\n\r\n")[0] in (400, 505)
    assert raw(server, b"\x16\x03\x01 \x00\x01 \xff\r\n\r\n")[0] == 400


def test_there_are_only_so_many_connections_and_they_come_free_again(folder):
    with serving(folder, limits=Limits(connections=4, seconds=2)) as server:
        held = [socket.create_connection(("127.0.0.1", server.server_port), timeout=5) for _ in range(4)]
        status, _, body = ask(server)  # accepted after those four
        assert (status, json.loads(body)) == (503, {"error": "too many connections; try again later"})
        for one in held:
            one.close()
        patience = time.monotonic() + 10
        while ask(server)[0] == 503 and time.monotonic() < patience:
            time.sleep(0.05)
        assert [ask(server)[0] for _ in range(12)] == [200] * 12


def test_one_answer_at_a_time_and_the_others_wait_their_turn(folder):
    inside, most, lock = [0], [0], threading.Lock()

    def slow(request):
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        time.sleep(request["s"])
        with lock:
            inside[0] -= 1
        return request

    limits = Limits(turn=3.0)
    with serving(folder, {"/api/slow": slow}, limits) as server:

        def many(n, seconds):
            found = [0] * n

            def one(i):
                found[i] = post(server, {"s": seconds, "i": i}, "/api/slow")[:2]

            threads = [threading.Thread(target=one, args=(i,)) for i in range(n)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(120)
            return found

        assert many(8, 0.02) == [(200, {"s": 0.02, "i": i}) for i in range(8)]
        assert most[0] == 1
        statuses = sorted(status for status, _ in many(3, 2.0))
        assert statuses == [200, 200, 503]  # the third waits longer than a turn


def test_closing_waits_for_the_answer_under_way(folder):
    begun, done = threading.Event(), threading.Event()

    def slow(request):
        begun.set()
        time.sleep(0.4)
        done.set()
        return request

    with serving(folder, {"/api/slow": slow}) as server:
        asking = threading.Thread(target=post, args=(server, {}, "/api/slow"))
        asking.start()
        assert begun.wait(10)
        server.close()
        assert done.is_set()
        asking.join(5)
        with pytest.raises(ConnectionRefusedError):
            ask(server)


# --- what there is to serve


def test_a_folder_without_pages_is_refused(tmp_path, folder):
    with pytest.raises(ConfigError, match="superposition page"):
        make_server(tmp_path / "nothing", {})
    (tmp_path / "index.html").write_text("<head></head> no policy")
    with pytest.raises(ConfigError, match="no page that superposition wrote"):
        make_server(tmp_path, {})
    (tmp_path / "index.html").write_text(PAGE.replace("<head>", "").replace("</head>", ""))
    with pytest.raises(ConfigError, match="no page that superposition wrote"):
        make_server(tmp_path, {})
    (tmp_path / "index.html").unlink()
    (tmp_path / "index.html").symlink_to(folder / "index.html")
    with pytest.raises(ConfigError, match=r"index\.html"):
        make_server(tmp_path, {})


def test_a_port_that_is_taken_is_said(server, folder):
    with pytest.raises(ConfigError, match="--port"):
        make_server(folder, {}, server.server_port)
    with pytest.raises(ConfigError, match="port"):
        make_server(folder, {}, 65536)


def test_closing_before_serving_ends(folder):
    server = make_server(folder, {})
    server.close()
    server.serve_forever()
