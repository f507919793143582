"""The server of pages: how long it waits, how many it serves at once, and how it ends."""

import http.client
import json
import select
import socket
import threading
import time

import pytest

from superposition.errors import ConfigError
from superposition.pages.server import Limits, make_server
from tests.support.server import PAGE, ask, post, raw, serving

QUICK = Limits(seconds=0.5, turn=0.5, connections=6)


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
