"""The live page without a browser: its file, its settings, and what a notebook is given."""

import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import superposition as sp
from superposition.cli import main
from superposition.errors import ConfigError, StoreError
from superposition.pages.explorer import Explorer, module
from tests.support.written_pages import Parsed


def test_the_page_asks_for_nothing_from_outside():
    page = Parsed(Explorer().html())
    assert "<title>Superposition, live</title>" in Explorer().html()
    assert not [
        a for _, attributes in page.tags for a in attributes.items() if a[0] in ("src", "srcset", "action")
    ]
    assert [a["href"] for tag, a in page.tags if "href" in a] == ["data:,"]
    policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert set(re.findall(r"https?://[^\s\"']+", module())) == {"http://www.w3.org/2000/svg"}
    assert len(Explorer().html()) < 100_000


def test_the_bytes_depend_on_the_settings_alone():
    assert Explorer().html() == Explorer().html()
    assert Explorer().html() != Explorer(density=0.2).html()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"view": "tyo"}, "view must be one of toy, phase, sae"),
        ({"n_features": 30}, "n_features must be an integer in"),
        ({"n_features": 3, "n_hidden": 4}, "n_hidden must be at most n_features=3"),
        ({"density": 0}, "density must lie in"),
        ({"penalty": 4.0}, "penalty must lie in"),
        ({"densty": 0.1}, "explore has no setting densty"),
    ],
)
def test_settings_that_the_sliders_cannot_take_are_refused(settings, says):
    with pytest.raises(ConfigError, match=re.escape(says)):
        sp.explore(widget=False, **settings)


def test_a_page_is_replaced_and_another_file_is_not(tmp_path):
    path = Explorer().save(tmp_path / "new" / "live.html")
    assert Explorer(density=0.5).save(path).read_text("utf-8") == Explorer(density=0.5).html()
    other = tmp_path / "mine.html"
    other.write_text("mine")
    with pytest.raises(StoreError, match="not a live page"):
        Explorer().save(other)
    assert other.read_text() == "mine"


def test_a_notebook_without_anywidget_shows_the_page_in_a_frame():
    shown = sp.explore(widget=False)._repr_html_()
    frame = Parsed(shown).tags[0]
    assert frame[0] == "iframe"
    assert frame[1]["srcdoc"] == Explorer().html()


def test_the_widget_has_the_same_module_and_settings():
    pytest.importorskip("anywidget")
    widget = sp.explore(widget=True, density=0.2)
    assert widget.settings == Explorer(density=0.2).settings()
    assert widget._esm == module()
    assert widget.result == {}


def test_the_widget_says_what_is_missing(monkeypatch):
    from superposition.pages import explorer

    monkeypatch.setitem(sys.modules, "anywidget", None)
    explorer._widget_class.cache_clear()
    with pytest.raises(ConfigError, match=r"superposition\[notebooks\]"):
        sp.explore(widget=True)


def test_the_page_waits_for_neither_jax_nor_matplotlib_nor_anywidget():
    code = "import sys, superposition as sp; sp.explore().html(); print({'jax', 'matplotlib', 'anywidget'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_command_writes_the_page_and_opens_it(tmp_path, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr("superposition.cli.toy.explore.show_file", lambda path: opened.append(path) or True)
    path = tmp_path / "live.html"
    assert main.main(["explore", "--view", "phase", "--out", str(path), "--no-open"]) == 0
    assert path.read_text("utf-8") == Explorer(view="phase").html()
    assert opened == []
    assert main.main(["explore", "--out", str(path)]) == 0
    assert opened == [path]
    assert main.main(["explore", "--out", str(tmp_path / "live.pdf")]) == 2
    assert "must end in .html or .png" in capsys.readouterr().err


def test_a_name_in_png_gives_a_picture_that_says_what_it_shows_and_replaces_nothing(
    tmp_path, monkeypatch, capsys
):
    from superposition.training import api

    trained = []

    def short(run, axes):
        trained.append((run, axes))
        return sweep(replace(run, steps=3, batch_size=16), axes | {"seed": range(1)})

    sweep = api.sweep
    monkeypatch.setattr(api, "sweep", short)
    path = tmp_path / "live.png"
    command = ["explore", "--out", str(path), "--no-open", "--density", "0.3", "--n-features", "4"]
    assert main.main(command) == 0
    assert capsys.readouterr().out.strip() == str(path)
    ((run, axes),) = trained
    assert (run.model.n_features, run.model.n_hidden, run.steps) == (4, 2, 3000)
    assert axes == {"density": [1.0, 0.3, 0.2, 0.1], "seed": range(4)}
    with Image.open(path) as picture:
        assert "4 features in 2 dimensions at densities 1, 0.3, 0.2, 0.1" in picture.info["Description"]
        assert np.ptp(np.asarray(picture.convert("L"))) > 100  # something is drawn
    before = path.read_bytes()
    assert main.main(command) != 0
    assert path.read_bytes() == before
