import math
from dataclasses import dataclass

import pytest

from experiments.lab import find
from experiments.lab.find import name_of
from experiments.lab.run import configured, execute, main, script
from experiments.lab.settings import Count, check
from superposition.errors import ConfigError

EXPERIMENTS = find.load_all()

REFUSED = """
intro --sparsities 0 | sparsities
intro --sparsities 0 0.5 1 | sparsities
intro --learning-rate inf | learning_rate
nonlinear_compression --points -1 | points
nonlinear_compression --points 1 | points
nonlinear_compression --most-levels 0 | most_levels
nonlinear_compression --samples -1 | samples
nonlinear_compression --samples 0 | samples
basins --lowest-density 0 | lowest_density
basins --lowest-density 0.5 | lowest_density
basins --lowest-density -1 | lowest_density
basins --densities -1 | densities
basins --densities 1 | densities
basins --most 0 | most
basins --most -1 | most
basins --others | others
basins --others 3 0 | others
antiprism --first-step 0 | first_step
antiprism --first-step 60 | first_step
antiprism --frames -1 | frames
energy_levels --polygon-frames -1 | polygon_frames
energy_levels --polygon-learning-rate -1 | polygon_learning_rate
energy_levels --polygon-steps 100 | polygon_steps
energy_levels --frames 500 | frames
energy_levels --n-hidden 9 | n_hidden
thomson --cases 5 2 | cases
thomson --trained-cases 6 2 | trained_cases
privileged_basis --finalists 0 | finalists
privileged_basis --draws 0 0 | draws
privileged_basis --draws 2 1 | draws
privileged_basis --kept -1 | kept
privileged_basis --kept 0 | kept
privileged_basis --densities 0.5 | densities
local_bases --shown 5 | shown
local_bases --shown -9 | shown
local_bases --densities 0.1 | shown
pca_to_superposition --lowest 0 | lowest
pca_to_superposition --lowest 0.3 | lowest
pca_to_superposition --highest 0.01 | highest
pca_to_superposition --densities -1 | densities
pca_to_superposition --training.seeds 0 | training.seeds
pentagon_digon --baseline 0 | baseline
pentagon_digon --baseline 0.9 | baseline
pentagon_digon --lowest 0 | lowest
pentagon_digon --lowest 0.5 | lowest
pentagon_digon --lowest 1 | lowest
pentagon_digon --highest 0 | highest
pentagon_digon --points 0 | points
pentagon_digon --points 1 | points
pentagon_digon --points 2 | points
phase_by_activation --activations | activations
phase_by_activation --activations sine | activations
phase_by_activation --cells 0 | cells
phase_by_activation --cells 1 | cells
phase_by_activation --coarsening 0 | coarsening
phase_by_activation --restarts 0 | restarts
phase_by_activation --rounds 0 | rounds
phase_without_bias --cells 1 | cells
phase_without_bias --columns -1 | columns
phase_without_bias --angles 0 | angles
phase_diagram --cells 1 | cells
phase_diagram --exact-cells 1 | exact_cells
phase_diagram_3_2 --cells 1 | cells
absolute_value --learning-rates | learning_rates
absolute_value --learning-rates nan | learning_rates
absolute_value --densities 0.3 | densities
absolute_value --densities 1 0.3 | densities
absolute_value --n-hidden 0 | n_hidden
absolute_value --importance-base 0 | importance_base
asymmetric_motif --arena-density 0.3 | arena_density
asymmetric_motif --densities 0.35 | densities
larger --densities 1 0.1 | densities
lecture_figure --densities 1 0.1 0.01 | densities
correlated_sets --densities 0.2 0.1 | densities
correlated_sets --training.learning-rate 0 | training.learning_rate
dimensions_per_feature --uniform.densities | uniform.densities
dimensions_per_feature --uniform.densities 1 2 | uniform.densities
feature_dimensionality --uniform.densities 1 | uniform.densities
adversarial --longer 7 | longer
adversarial --uniform.longer 0 | uniform.longer
l1_penalty --density 0 | density
adversarial --attack -1 | attack
loss_decomposition --densities 1 0.1 | densities
absorption_and_hedging --flat relu | flat
absorption_and_hedging --widths 0 8 | widths
feature_splitting --widths 8 | widths
four_questions --strengths 1 2 | strengths
no_single_neuron --widths 16 | ks
sae_recovers_features --architectures perceptron | architectures
sae_recovers_features --architectures pca | architectures
sae_zoo --d-sae 16 | d_sae
small_lm_sae --l0 0 | l0
steering --strengths nan | strengths
toy_steering --densities 0 | densities
wrong_l0 --l0 4 | l0
feature_pages --toy.steps 0 | toy.steps
ablation --seed -1 | seed
sharkey --steps 0 | steps
"""


@pytest.mark.parametrize("case", REFUSED.strip().splitlines())
def test_bad_flags_are_refused_by_name_before_anything_runs(case):
    command, named = case.split(" | ")
    name, *flags = command.split()
    with pytest.raises(ConfigError) as refusal:
        configured(find.load(name), ["--quick", *flags])
    assert named in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("module", EXPERIMENTS, ids=name_of)
def test_what_an_experiment_runs_with_passes(module):
    for config, flags in ((module.Config(), []), (module.Config.quick(), ["--quick"])):
        check(config)
        assert configured(module, flags) == config


def test_a_number_without_a_declared_range_is_an_error_of_the_experiment():
    @dataclass(frozen=True)
    class Config:
        steps: Count = 1
        rates: tuple[float, ...] = (0.5,)

    with pytest.raises(TypeError, match="rates is a plain float; give its type a range"):
        check(Config())


@pytest.mark.parametrize(
    "settings",
    [{"seeds": 2.5}, {"seeds": True}, {"seeds": "2"}, {"learning_rate": math.nan}, {"sparsities": "0.5"}],
)
def test_a_script_is_told_too_before_anything_is_written(settings, tmp_path):
    from experiments.toy_models import intro

    with pytest.raises(ConfigError, match=next(iter(settings))):
        execute(intro, intro.Config(**settings), tmp_path / "figures")
    assert not (tmp_path / "figures").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--sparsities", "0"], "error: sparsities must be three"),
        (["--seeds", "0"], "error: seeds must be an integer >= 1; got 0"),
        (["--seeds", "two"], "error: --seeds takes an integer; got 'two'"),
        (
            ["--sparsity", "0"],
            "error: python -m experiments intro has no --sparsity; did you mean --sparsities?",
        ),
    ],
)
def test_the_command_says_what_is_wrong_in_one_line_and_writes_nothing(
    flags, said, tmp_path, monkeypatch, capsys
):
    from experiments.toy_models import intro

    def trains(config):
        raise AssertionError("trained")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(intro, "run", trains)
    monkeypatch.setattr("sys.argv", ["intro", "--quick", *flags])
    with pytest.raises(SystemExit) as stop:
        main(intro.__name__)
    out, err = capsys.readouterr()
    assert stop.value.code == ConfigError.exit_status
    assert err.startswith(said)
    assert err.count("\n") == 1
    assert not out
    assert not list(tmp_path.iterdir())


def test_help_is_no_error(monkeypatch, capsys):
    from experiments.toy_models import intro

    monkeypatch.setattr("sys.argv", ["intro", "--help"])
    with pytest.raises(SystemExit) as stop:
        main(intro.__name__)
    assert stop.value.code == 0
    assert "--quick" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["train_small_lm", "train_small_lm_saes"])
def test_scripts_that_make_a_model_refuse_bad_flags_too(name, monkeypatch, capsys):
    module = find.load(name)
    monkeypatch.setattr(module, "run", lambda config: pytest.fail("ran"))
    for flags, said in (
        (["--steps", "0"], "error: steps must"),
        (["--step", "1"], f"error: python -m experiments {name} has no --step;"),
    ):
        monkeypatch.setattr("sys.argv", [name, *flags])
        with pytest.raises(SystemExit) as stop:
            script(module.__name__)
        assert stop.value.code == ConfigError.exit_status
        assert capsys.readouterr().err.startswith(said)
