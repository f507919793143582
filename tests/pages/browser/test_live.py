"""Pages in a real Chromium: what the live view asks of a server, and shows."""

import json
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from tests.support.browser import faults


class Handler(SimpleHTTPRequestHandler):
    """The files of a folder, the secret in the first page, and canned answers."""

    asked: ClassVar[list] = []

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path == "/index.html":
            data = (Path(self.directory) / "index.html").read_text("utf-8")
            data = data.replace(
                "<head>", '<head><meta name="superposition-token" content="secret">', 1
            ).encode()
            self.reply(200, data, "text/html; charset=utf-8")
        else:
            super().do_GET()

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append((self.path, self.headers["X-Superposition-Token"], asked))
        if self.path == "/api/activations" and asked["text"] == "bad":
            return self.reply(400, json.dumps({"error": "that text yields no <b>tokens</b>"}).encode())
        if self.path == "/api/activations":
            tokens = [t + " " for t in asked["text"].split()] + ["<img src=x onerror=window.__pwned=1>"]
            top = [[[i, 2.0 - i / 4, (i + 1) / 10], [999999, 1.0, 1.0]] for i in range(len(tokens))]
            return self.reply(200, json.dumps({"tokens": tokens, "top": top}).encode())
        same = {"act": [0.0, 1.0, 2.0], "prompt_length": 1}
        rows = [{"strength": s, "tokens": [asked["prompt"], " a", f" {s}"], "kl": abs(s) / 8, **same}
                for s in asked["strengths"]]  # fmt: skip
        time.sleep(0.2)
        return self.reply(200, json.dumps({"rows": rows}).encode())

    def reply(self, status, data, kind="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def served(folders):
    Handler.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folders[150]))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(60)
        assert not thread.is_alive()


def send(page, values, button):
    for name, value in values.items():
        page.js("document.querySelector(`[name=${arguments[0]}]`).value = arguments[1]", name, value)
    page.js(
        "[...document.querySelectorAll('.go')].find((b) => b.textContent === arguments[0]).click()", button
    )


def test_over_http_features_load_lazily_too(page, served):
    page.open("#f=120", base=served)
    page.heading("latent 120")
    assert page.all("[data-type=examples]")


def test_your_own_text_is_shown_with_what_fires_on_it(page, served):
    page.open("#live", base=served)
    send(page, {"text": "one two"}, "Show")
    page.wait("return document.querySelectorAll('.line > span').length === 3")
    assert Handler.asked == [("/api/activations", "secret", {"text": "one two"})]
    page.js("document.querySelectorAll('.line > span')[1].focus()")
    assert page.texts(".text section:nth-of-type(1) tbody th a") == ["latent 1"]
    assert page.texts(".text section:nth-of-type(1) tbody td") == ["1.75", "20 %"]
    send(page, {"text": "bad"}, "Show")
    page.wait("return document.querySelector('.notice')")
    assert page.texts(".notice") == ["that text yields no <b>tokens</b>"]
    logged = page.driver.get_log("browser")
    assert len(logged) == 1
    assert "400" in logged[0]["message"]


def test_steering_sends_numbers_and_shows_the_texts_side_by_side(page, served):
    page.open("#live=7", base=served)
    send(
        page,
        {"prompt": "Once", "strengths": "−2, 0 1.5", "n": "5", "temperature": "0.5", "seed": "3"},
        "Steer",
    )
    assert page.texts(".go") == ["Show", "Working …"]
    page.wait("return document.querySelectorAll('.line').length === 3")
    assert page.texts(".go") == ["Show", "Steer"]
    wanted = {"prompt": "Once", "id": 7, "strengths": [-2, 0, 1.5], "n": 5, "temperature": 0.5, "seed": 3}
    assert Handler.asked == [("/api/steer", "secret", wanted)]
    assert page.texts("main tbody th") == ["−2", "0", "+1.5"]
    assert page.texts(".line > .given") == ["Once"] * 3


def test_axe_finds_nothing_serious_in_the_live_view(page, served):
    for scheme in ("light", "dark"):
        page.media(prefers_color_scheme=scheme)
        page.open("#live=7", base=served)
        send(page, {"prompt": "Once"}, "Steer")
        page.wait("return document.querySelectorAll('.line').length === 5")
        assert faults(page) == []


def test_a_server_that_went_away_is_said(page, served):
    page.open("#live", base=served)
    page.js("window.fetch = () => Promise.reject(new TypeError('gone'))")
    send(page, {"text": "one"}, "Show")
    page.wait("return document.querySelector('.notice')")
    assert "does not answer" in page.texts(".notice")[0]


@pytest.mark.parametrize("where", ["file", "http without the secret"])
def test_where_no_model_is_behind_the_page_nothing_live_is_offered(page, where, folders):
    page.open("#live")
    assert page.texts("main h1") == ["Latents of a made-up SAE"]
    assert not [a for a in page.all("nav a") if a.text == "Your own text"]
    assert not page.all("form")
    page.open("#f=7")
    assert "Steer" not in page.texts(".tools")[0]
