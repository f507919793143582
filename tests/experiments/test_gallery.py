"""The gallery: every picture with its claims and verdicts; and where the files of a run go."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from experiments.lab import files, find, gallery, lecture, run

CLAIM = {
    "figure": "F1",
    "claim": "a < b",
    "paper": "says",
    "measured": "3",
    "source": "the paper's sentence",
    "evidence": True,
}


@pytest.fixture
def folder(tmp_path):
    claims = [CLAIM, {**CLAIM, "claim": "fails <b>", "evidence": False}]
    content = {"experiment": "mine", "title": "A & B", "claims": claims, "seconds": 2.0}
    (tmp_path / "mine.json").write_text(json.dumps(content))
    about = PngImagePlugin.PngInfo()
    about.add_text("Description", 'says "this"')
    for name in ("mine.png", "mine-2.png", "mine-other.png"):
        Image.fromarray(np.zeros((3, 5), np.uint8)).save(tmp_path / name, pnginfo=about)
    (tmp_path / "alone.json").write_text(json.dumps({**content, "experiment": "alone"}))  # not drawn yet
    return tmp_path


def test_the_committed_gallery_is_of_the_committed_figures():
    assert (files.FIGURES / "index.html").read_text(encoding="utf-8") == gallery.page(files.FIGURES)


def test_every_picture_stands_with_its_claims_and_nothing_is_taken_for_markup(folder):
    html = gallery.page(folder)
    assert "1 experiments hold 2 claims" in html.replace("\n", " ")
    assert "<td>the paper's sentence</td><td>1</td><td>1</td><td>0</td>" in html
    assert html.count("<img ") == 2  # mine.png and mine-2.png
    assert 'src="mine-2.png" width="5" height="3"' in html
    assert 'alt="says &quot;this&quot;"' in html
    assert "<h3>A &amp; B</h3>" in html
    assert "fails &lt;b&gt;" in html
    assert '<td class="fails">does not hold</td>' in html
    assert "http" not in html


def test_the_lectures_slides_are_experiments_and_their_claims_come_in_the_order_of_the_slides(tmp_path):
    for name in lecture.SLIDES:
        assert hasattr(find.load(name), "draw")
        (tmp_path / f"{name}.json").write_text(
            json.dumps({"experiment": name, "claims": [{**CLAIM, "claim": name}]})
        )
    assert [claim.claim for claim in lecture.claims(tmp_path)] == list(lecture.SLIDES)


def test_what_is_committed_is_replaced_only_by_what_was_made_with_the_same_settings():
    module = find.load("intro")
    config = module.Config()
    assert run.folder_of(module, config, quick=False) == files.FIGURES
    assert run.folder_of(module, module.Config.quick(), quick=True) == files.FIGURES / "quick"
    other = dataclasses.replace(config, seeds=config.seeds + 1)
    assert run.folder_of(module, other, quick=False) == files.FIGURES / "other"
