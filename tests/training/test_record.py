import numpy as np
import pytest

from superposition.errors import ConfigError
from superposition.expected_loss import reference_loss
from superposition.features import Correlated, SparseUniform
from superposition.toy import ReLUOutput
from superposition.training import sweep
from superposition.training.optimizer import AdamW
from superposition.training.record import record
from superposition.training.toy import ToyRun
from superposition.typing import ToyParams

NARROW = ToyRun(
    ReLUOutput(3, 2),
    SparseUniform(density=0.3),
    optimizer=AdamW(1e-2, schedule="cosine"),
    steps=60,
    batch_size=32,
)
# More seeds than one block holds, and not a multiple of it: the last block is padded.
WIDE = ToyRun(ReLUOutput(6, 3), Correlated(density=0.2, n_sets=2), steps=50, batch_size=4096)


@pytest.mark.parametrize(
    ("run", "seeds"),
    [
        pytest.param(NARROW, range(5), id="narrow"),
        pytest.param(NARROW, [7], id="one seed"),
        pytest.param(WIDE, [3, 1, 8, 30, 2, 11, 4], id="wide, padded block"),
    ],
)
def test_the_last_step_has_the_bits_of_a_sweep(run, seeds):
    path = record(run, seeds=seeds, steps=[0, 1, 17, run.steps])
    end = sweep(run, {"seed": seeds})
    for name in ("W", "b", "loss"):
        assert path[name].isel(step=-1).values.tobytes() == end[name].values.tobytes()
    assert path["W"].dims == ("seed", "step", "n_hidden", "n_features")
    np.testing.assert_array_equal(path["seed"], list(seeds))
    np.testing.assert_array_equal(path["step"], [0, 1, 17, run.steps])


def test_a_step_on_the_way_does_not_depend_on_which_others_are_kept():
    few = record(NARROW, seeds=range(3), steps=[40])
    many = record(NARROW, seeds=range(3), steps=range(61))
    assert few["W"].sel(step=40).values.tobytes() == many["W"].sel(step=40).values.tobytes()
    # The schedule belongs to the whole run: stopping at 40 is not a run of 40 steps.
    short = sweep(ToyRun(**{**vars(NARROW), "steps": 40}), {"seed": range(3)})
    assert not np.array_equal(short["W"].values, few["W"].values[:, 0])
    assert (np.diff(many["W"].values, axis=1) != 0).any((0, 2, 3)).all()


def test_step_zero_is_the_start_and_loss_is_exact():
    import jax

    path = record(NARROW, seeds=[5, 9], steps=[0, 30])
    for s, seed in enumerate((5, 9)):
        start = NARROW.model.init_params(jax.random.fold_in(jax.random.key(seed), 0))
        np.testing.assert_array_equal(path["W"].values[s, 0], start.W)
        for k in range(2):
            params = ToyParams(path["W"].values[s, k], path["b"].values[s, k])
            exact = reference_loss(params, np.ones(3), 0.3, activation="relu")
            assert float(path["loss"][s, k]) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize(
    "steps", [[], [-1, 3], [5, 4], [5, 5], [0, 61], [1.5], 7, [True], [[1], [1, 2]]], ids=str
)
def test_bad_steps_are_refused(steps):
    with pytest.raises(ConfigError, match="steps"):
        record(NARROW, seeds=[0], steps=steps)


def test_bad_seeds_are_refused():
    for seeds in ([], [-1], [0.5]):
        with pytest.raises(ConfigError, match="seed"):
            record(NARROW, seeds=seeds, steps=[0])


def test_bad_memory_is_refused():
    for memory in ("a", float("nan"), 0.0):
        with pytest.raises(ConfigError, match="memory_gb"):
            record(NARROW, seeds=[0], steps=[0], memory_gb=memory)
