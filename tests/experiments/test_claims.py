"""What a claim says of itself: whose sentence it is, its verdict, and what reports make of it."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from experiments.lab import files, find, judge, report, stored
from experiments.lab.claim import Claim, Source, Verdict, at_least, at_most, between, less_than, more_than
from experiments.lab.seeds import above


def claim(evidence, text="a", **options):
    return Claim("F1", text, "says", "3", evidence, **options)


@pytest.mark.parametrize(
    ("evidence", "verdict"),
    [
        (more_than(2, 1), "holds"),
        (more_than(1, 1), "does not hold"),
        (at_least(1, 1), "holds"),
        (less_than(1, 1), "does not hold"),
        (at_most(1, 1), "holds"),
        (more_than(2, 1, error=0.9), "holds"),
        (more_than(2, 1, error=1.1), "undecided"),
        (more_than(0, 1, error=1.1), "undecided"),
        (less_than(2, 1, interval=(1.1, 9)), "does not hold"),
        (more_than(math.nan, 1), "does not hold"),
        (between(1, 0.7, 1.4), "holds"),
        (between(2, 0.7, 1.4), "does not hold"),
        ((more_than(2, 1, error=2), True), "undecided"),
        ((more_than(2, 1, error=2), np.bool_(False)), "does not hold"),
        ([], "does not hold"),
        (np.bool_(True), "holds"),
    ],
)
def test_a_verdict_is_computed_from_values_bars_and_intervals(evidence, verdict):
    assert claim(evidence).verdict == verdict
    again = stored.from_json(json.loads(json.dumps(stored.to_json(claim(evidence)), allow_nan=False)))
    assert again.verdict == verdict


def test_a_comparison_is_no_truth_value():
    with pytest.raises(TypeError, match="tuple of comparisons"):
        all(above(np.array([1.0, 2.0]), b) for b in (0.5, 0.7))


def test_seeds_that_overlap_leave_it_undecided():
    low, high = np.array([1.0, 1.1, 1.2]), np.array([2.0, 2.1, 2.3])
    assert claim(above(high, low)).verdict == "holds"
    assert claim(above(low, high)).verdict == "does not hold"
    assert claim(above(np.array([0.5, 1.5, 2.8]), low)).verdict == "undecided"
    assert claim(above(high, 1.0)).verdict == "holds"
    assert claim(above(np.ones(3), 0.5)).verdict == "holds"


def test_only_a_restated_claim_names_an_original():
    with pytest.raises(ValueError, match="names its original"):
        claim(True, source=Source.RESTATED)
    with pytest.raises(ValueError, match="names its original"):
        claim(True, restates="another")


def test_a_verdict_other_than_the_one_on_record_fails_the_run():
    for recorded, status in ((None, 0), (Verdict.HOLDS, 0), (Verdict.FAILS, 1), (Verdict.UNDECIDED, 1)):
        assert report.status([replace(claim(True), recorded=recorded)]) == status


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "RECORD", tmp_path / "record" / "recorded.json")
    stored.RECORD.parent.mkdir()
    long = "; ".join(f"value {k} | of many" for k in range(60))
    claims = [
        claim(False, "as the paper has it", source=Source.PAPER),
        claim(True, "nearly so", source=Source.RESTATED, restates="as the paper"),
        replace(claim(more_than(2, 1, error=3), "ours"), measured=long),
    ]
    content = {"experiment": "mine", "claims": [stored.to_json(c) for c in claims]}
    (tmp_path / "mine.json").write_text(json.dumps(content))
    return tmp_path


def test_the_report_counts_by_source_and_puts_a_restated_claim_in_the_row_of_its_original(folder):
    report.write(folder)
    text = (folder / "REPORT.md").read_text()
    assert "| the paper's sentence | 0 | 1 | 0 |" in text
    assert "| restated | 1 | 0 | 0 |" in text
    assert "| this lab's | 0 | 0 | 1 |" in text
    (row,) = [line for line in text.splitlines() if "nearly so" in line]
    assert "as the paper has it" in row
    assert row.endswith("| not yet; not yet |")
    assert "1. value 0 \\| of many; value 1" in text
    assert cells_too_long(text) == []


def test_a_run_is_compared_with_the_record(folder):
    stored.write_record(folder)
    assert [c.changed for c in stored.collect(folder)["mine"]] == [False] * 3
    record = json.loads(stored.RECORD.read_text())
    record["mine"]["ours"] = "holds"
    stored.RECORD.write_text(json.dumps(record))
    assert [c.changed for c in stored.collect(folder)["mine"]] == [False, False, True]
    report.write(folder)
    assert "| undecided | holds |" in (folder / "REPORT.md").read_text()


def cells_too_long(text):
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [
        cell for row in rows for cell in re.split(r"(?<!\\)\|", row) if len(cell.strip()) > report.LONGEST
    ]


def test_committed_claims_are_on_record_and_restated_ones_have_an_original():
    for name, claims in stored.collect(files.FIGURES).items():
        assert len({c.claim for c in claims}) == len(claims), name
        for one in claims:
            assert one.recorded == one.verdict, f"{name}: {one.claim}: run python -m experiments --record"
            assert bool(report.original(one, claims)) == (one.source == Source.RESTATED), one.claim


def test_the_committed_report_is_of_the_committed_figures(tmp_path):
    for path in files.FIGURES.glob("*.json"):
        (tmp_path / path.name).symlink_to(path.resolve())
    report.write(tmp_path)
    text = (tmp_path / "REPORT.md").read_text()
    assert text == (files.FIGURES / "REPORT.md").read_text()
    assert cells_too_long(text) == []


def test_stored_results_are_judged_anew_without_a_run(tmp_path):
    stored_json = json.loads((files.FIGURES / "hidden_basis.json").read_text())
    (tmp_path / "hidden_basis.json").write_text(json.dumps(stored_json | {"claims": []}))
    assert judge.again(find.load("hidden_basis"), tmp_path)
    assert json.loads((tmp_path / "hidden_basis.json").read_text()) == stored_json
    assert (tmp_path / "hidden_basis.png").exists()
    changed = stored_json | {"config": stored_json["config"] | {"seeds": 1}}
    (tmp_path / "hidden_basis.json").write_text(json.dumps(changed))
    assert not judge.again(find.load("hidden_basis"), tmp_path)  # of other settings
    assert not judge.again(find.load("intro"), tmp_path)  # cannot be judged without a run
