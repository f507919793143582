"""Pages are for whoever has the address that was printed: no other user of the machine gets anything."""

import re
import urllib.error
import urllib.request

import pytest

from tests.support.server import ask, serving, write

PATHS = (
    "/",
    "/index.html",
    "/features/7.js",
    "/features/9.js",
    "/nothing",
    "/api/echo",
    "/api/nothing",
    "/favicon.ico",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(write(tmp_path_factory.mktemp("secret"))) as one:
        yield one


def wrong(token):
    """Nearly the secret."""
    last = "A" if token[-1] != "A" else "B"
    return [
        "",
        token[:-1],
        token[:-1] + last,
        token + "x",
        token.swapcase(),
        "é" * 43,
        "\udcff",
        f"{token}%20",
    ]


def bare(server, method="GET", path="/", body=None, **headers):
    return ask(server, method, path, body, X_Superposition_Token=None, **headers)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("path", PATHS)
def test_without_the_secret_every_path_is_403_and_none_has_it_or_the_pages(server, method, path):
    places = [
        "",
        *(f"?token={t}" for t in wrong(server.token)),
        "?token",
        "?token=",
        "?x=1",
        "?token=a&token=b",
    ]
    for place in places[:6] if path != "/" else places:
        asked = (path + place).encode("utf-8", "replace").decode("latin-1").replace(" ", "")
        status, headers, body = bare(server, method, asked, b"{}" if method == "POST" else None)
        assert status == 403, asked
        assert server.token not in str(headers)
        assert server.token.encode() not in body
        assert b"pages</body>" not in body
        assert b"?token= that `superposition serve` printed" in body or method == "HEAD"
        assert "Set-Cookie" not in headers


def test_a_wrong_secret_in_the_path_or_the_header_is_403(server):
    for token in wrong(server.token):
        token = token.encode("utf-8", "replace").decode("latin-1")
        for path in (f"/{token}/", f"/{token}/features/7.js", f"/x/{server.token}/"):
            assert bare(server, path=path)[0] == 403
        assert ask(server, path="/", X_Superposition_Token=token)[0] == 403


def test_the_printed_address_leads_to_the_page_and_all_below_it(server):
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[A-Za-z0-9_-]{43}", server.url)
    with urllib.request.urlopen(server.url, timeout=60) as answer:
        page, at = answer.read(), answer.url
    assert at == f"{server.address}{server.token}/"
    assert server.token.encode() in page
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    for path in ("", "index.html", "features/7.js"):
        with urllib.request.urlopen(
            at + path, timeout=60
        ) as answer:  # as the page's own links, and as a reload
            assert answer.status == 200
    with urllib.request.urlopen(f"{server.address}features/7.js?token={server.token}", timeout=60) as answer:
        assert b"superposition.take" in answer.read()
    for path in ("nothing", "features/../../secret.html", "api/echo", "features/7.js?x=1"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(at + path, timeout=60)
        assert caught.value.code == (405 if path == "api/echo" else 404)
        caught.value.close()


def test_the_redirect_has_no_body_of_the_page_and_stays_on_this_server(server):
    for path in ("/", "/index.html"):
        status, headers, body = bare(server, path=f"{path}?token={server.token}")
        assert (status, headers["Location"]) == (303, f"/{server.token}/")
        assert server.token.encode() not in body


def test_the_api_takes_the_secret_in_its_header_alone(server):
    for path in (f"/{server.token}/api/echo", f"/api/echo?token={server.token}"):
        assert bare(server, "POST", path, b"{}")[0] == 403
    assert ask(server, "POST", "/api/echo", b"{}")[0] == 200


def test_the_secret_is_in_no_refusal_of_another_host_or_origin(server):
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        status, got, body = ask(server, path=f"/{server.token}/", **headers)
        assert status in (421, 403)
        assert server.token not in f"{got}{body}"


def test_every_start_has_its_own_secret(server, tmp_path):
    with serving(write(tmp_path)) as second:
        assert second.token != server.token
        assert bare(second, path=f"/{server.token}/")[0] == 403
