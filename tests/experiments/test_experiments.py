import json
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.animation import FuncAnimation
from matplotlib.figure import Figure

from experiments import __main__, _all, _base, _phase, _report
from experiments.__main__ import discover
from superposition import theory

EXPERIMENTS = discover()


# Half a minute or more each, even quick: most of it is compilation.
LONG = {
    "ablation", "absorption_and_hedging", "correlated_sets", "feature_pages", "feature_splitting", "four_questions",
    "pca_to_superposition", "pentagon_digon", "phase_diagram_3_2", "sae_zoo", "small_lm_sae",
}  # fmt: skip


def _name(module):
    return module.__name__.rsplit(".", 1)[-1]


@pytest.mark.parametrize(
    "module",
    [pytest.param(m, id=_name(m), marks=pytest.mark.slow if _name(m) in LONG else ()) for m in EXPERIMENTS],
)
def test_every_experiment_runs_quick_and_writes_picture_numbers_and_report(module, tmp_path):
    result = _base.execute(module, module.Config.quick(), tmp_path)
    name = module.__name__.rsplit(".", 1)[-1]
    assert (tmp_path / f"{name}.png").stat().st_size > 5_000
    content = json.loads((tmp_path / f"{name}.json").read_text())
    assert content["config"]
    assert [c["claim"] for c in content["claims"]] == [c.claim for c in result.claims]
    report = (tmp_path / "REPORT.md").read_text()
    for claim in result.claims:
        assert claim.measured.split("|")[0].strip() in report.replace("\\|", "|")
    assert isinstance(module.draw(result), Figure)
    assert len(module.alt(result)) > 40
    for section in ("Command:", "Time:", "Expect:"):
        assert section in module.__doc__


def test_a_verdict_other_than_the_expected_one_fails_the_run():
    holds = _base.Claim("F1", "a", "b", "c", holds=True)
    known = _base.Claim("F1", "a", "b", "c", holds=False, expected=False)
    broken = _base.Claim("F1", "a", "b", "c", holds=False)
    surprise = _base.Claim("F1", "a", "b", "c", holds=True, expected=False)
    assert _report.status([holds, known]) == 0
    assert _report.status([holds, broken]) == 1
    assert _report.status([surprise]) == 1


def test_committed_figures_were_made_by_these_experiments_with_the_expected_verdicts():
    for module in EXPERIMENTS:
        name = module.__name__.rsplit(".", 1)[-1]
        content = json.loads((_base.FIGURES / f"{name}.json").read_text())
        assert content["config"] == _base._plain(_base.asdict(module.Config())), (
            f"run python -m experiments.{name}"
        )
        for claim in content["claims"]:
            assert claim["holds"] == claim["expected"], claim["claim"]
        assert (_base.FIGURES / f"{name}.png").exists()


def test_phase_classes_and_boundary_distance():
    norm, interference = np.array([0.1, 1.0, 1.0]), np.array([5.0, 0.1, 0.9])
    assert _phase.classify(norm, interference).tolist() == [0, 1, 2]
    diagram = _phase.Diagram(2, 1, theory.PHASES_2_1, theory.boundary_2_1)
    grid = _phase.Grid(cells=21)
    far = _phase.far_from_boundary(diagram, grid, 0.1)
    r, p = grid.axes(21)
    on = np.abs(np.log10(p[:, None] / theory.boundary_2_1(r)[None, :])) < 0.05
    assert not far[on].any()
    assert far[-1].all()
    assert far.mean() > 0.7


def test_experiments_that_share_work_run_in_one_process_the_longest_first(tmp_path, monkeypatch):
    def module(name, seconds, **settings):
        (tmp_path / f"{name}.json").write_text(json.dumps({"seconds": seconds}))
        return SimpleNamespace(__name__=f"experiments.{name}", **settings)

    monkeypatch.setattr(_base, "FIGURES", tmp_path)
    modules = [module("a", 3), module("b", 2, SHARED="sweep"), module("c", 9), module("d", 8, SHARED="sweep")]
    new = SimpleNamespace(__name__="experiments.never_run")
    names = [[n.removeprefix("experiments.") for n in group] for group in _all.grouped([new, *modules])]
    assert names == [["b", "d"], ["c"], ["a"], ["never_run"]]


def test_all_runs_in_other_processes_and_brings_the_claims_back(tmp_path):
    intro = next(m for m in EXPERIMENTS if _name(m) == "intro")
    claims = _all.run([intro], quick=True, folder=tmp_path, jobs=1)
    assert [c.figure for c in claims] == ["F1"] * len(claims)
    assert len(claims) == len(json.loads((tmp_path / "intro.json").read_text())["claims"]) > 0
    assert (tmp_path / "intro.png").exists()


def test_a_moving_picture_is_written_beside_the_still_one(tmp_path, monkeypatch):
    from experiments import intro

    def animate(result):
        figure = Figure(figsize=(1, 1))
        (line,) = figure.subplots().plot([0, 1])
        return FuncAnimation(figure, lambda k: line.set_ydata([0, k]), frames=3)

    monkeypatch.setattr(intro, "animate", animate, raising=False)
    _base.execute(intro, intro.Config.quick(), tmp_path)
    assert (tmp_path / "intro.gif").read_bytes()[:6] == b"GIF89a"
    assert (tmp_path / "intro.png").exists()


@pytest.mark.parametrize("arguments", [["--jobs", "0"], ["--jobs", "two"], ["--every"]])
def test_bad_arguments_are_refused_with_the_usage(arguments, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["experiments", *arguments])
    with pytest.raises(SystemExit) as stop:
        __main__.main()
    assert stop.value.code == 2
    assert "usage: python -m experiments" in capsys.readouterr().err
