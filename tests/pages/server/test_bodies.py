"""The server of pages: which bodies it takes."""

import pytest

from tests.support.server import post, raw


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
