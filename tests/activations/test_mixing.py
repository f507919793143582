"""Mixing: everything once, spread over the buffer, in an order of the key alone, without a copy of the buffer."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from superposition.activations import HELD_OUT_STEP, Batch, Mixing, Source, Stream, array_stream, mixed_stream
from superposition.errors import ConfigError
from superposition.sae import ReLU
from superposition.storage import checkpoint
from superposition.training import SAERun, fit, loop
from superposition.training.optimizer import Adam
from tests.support.sums import Sum

KEY = jax.random.key(3)
SIZE, BATCHES = 8, 5
X = np.random.default_rng(0).normal(size=(400, 5)).astype(np.float32)


@dataclass(frozen=True)
class Counting(Source):
    """Rows (number of the example, number of the batch), all in order; y is 2 x + 1 where there are targets."""

    targets: bool = False
    stateful: bool = False

    @property
    def d_in(self):
        return 2

    @property
    def d_out(self):
        return 2 if self.targets else None

    def batch(self, inputs, step, size):
        step = step.astype(jnp.float32)
        rows = step * size + jnp.arange(size)
        x = jnp.stack([rows, jnp.full(size, step)], 1)
        return Batch(x, 2 * x + 1 if self.targets else x)

    def start(self, inputs, size):
        return jnp.uint32(0) if self.stateful else None

    def next(self, inputs, state, step, size):
        return self.batch(
            inputs, state if self.stateful else step, size
        ), state + 1 if self.stateful else None


def mixed(key=KEY, batches=BATCHES, **options):
    return mixed_stream(key, Stream(Counting(**options), None), batches)


def emitted(stream, steps, size=SIZE):
    state, out = stream.start(size), []
    for i in range(steps):
        batch, state = stream.next(state, i, size)
        out.append(batch)
    return jax.tree.map(lambda *a: np.stack(a), *out), state


@pytest.mark.parametrize("stateful", [False, True])
@pytest.mark.parametrize(("batches", "steps"), [(1, 3), (2, 1), (5, 23)])
def test_every_example_comes_once_and_the_rest_waits_in_the_buffer(batches, steps, stateful):
    batch, state = emitted(mixed(batches=batches, stateful=stateful), steps)
    out = batch.x[:, :, 0].ravel()
    assert len(set(out)) == steps * SIZE
    held = set(np.asarray(state.x[:, 0])) - set(out)
    assert len(held) == (batches - 1) * SIZE
    assert held | set(out) == set(range((steps + batches - 1) * SIZE))


def test_the_order_is_a_function_of_the_key_alone():
    first, again = (emitted(mixed(), 6)[0].x for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = emitted(mixed(jax.random.key(4)), 6)[0].x
    assert (first != other).any(axis=(1, 2)).all()


def test_examples_of_one_batch_are_spread_as_promised():
    batches, size, steps = 8, 32, 200
    batch, _ = emitted(mixed(batches=batches), steps, size)
    origin = batch.x[50:, :, 1]
    pairs = (origin[:, :, None] == origin[:, None, :]).sum((1, 2)) - size
    together = pairs.mean() / (size * (size - 1))  # 1 in the source
    assert abs(together * (2 * batches - 1) - 1) < 0.1
    stay = np.arange(50, steps)[:, None] - (origin - (batches - 1)) + 1
    assert stay.min() == 1
    assert abs(stay.mean() / batches - 1) < 0.05


def test_targets_stay_with_their_examples():
    batch, _ = emitted(mixed(targets=True), 7)
    np.testing.assert_array_equal(batch.y, 2 * batch.x + 1)
    assert len(set(batch.x[:, :, 0].ravel())) == 7 * SIZE


def test_going_on_from_any_step_gives_the_same_bits():
    stream, steps = mixed_stream(KEY, array_stream(KEY, X, 2 * X[:, :3]), 4), 40
    state, states, seen = stream.start(SIZE), [], []
    for i in range(steps):
        states.append(jax.tree.map(np.array, state))
        batch, state = stream.next(state, i, SIZE)
        seen.append(batch)
    kinds = {str(jax.tree.map(lambda a: (a.shape, a.dtype), s)) for s in states}
    assert len(kinds) == 1
    for at in range(steps):
        state = jax.tree.map(jnp.asarray, states[at])
        for i in range(at, steps):
            batch, state = stream.next(state, i, SIZE)
            np.testing.assert_array_equal(batch.x, seen[i].x)
            np.testing.assert_array_equal(batch.y, seen[i].y)


def test_estimates_are_those_of_the_source():
    plain = array_stream(KEY, X)
    both = mixed_stream(KEY, plain)
    assert both.scales(50) == plain.scales(50)
    np.testing.assert_array_equal(both.sample(100, batch=50).x, plain.sample(100, batch=50).x)
    np.testing.assert_array_equal(both.batch(7, 50).x, plain.batch(7, 50).x)
    assert (both.next(both.start(50), 0, 50)[0].x != plain.batch(0, 50).x).any()


def test_the_buffer_is_written_in_place():
    size, width, batches = 256, 64, 32
    plain = array_stream(KEY, np.random.default_rng(0).normal(size=(512, width)).astype(np.float32))
    stream = mixed_stream(KEY, plain, batches)
    state = (jnp.zeros(width), stream.start(size))
    lowered = loop.advance.lower(Sum(stream.source, size), stream.inputs, state, np.int32(0), np.int32(9))
    memory = lowered.compile().memory_analysis()
    buffer = 4 * size * width * batches
    assert memory.alias_size_in_bytes >= buffer  # the state goes in and out in one place
    assert memory.temp_size_in_bytes < buffer / 4  # a copy would be there


RUN = SAERun(ReLU(5, 8), Adam(learning_rate=3e-3), steps=30, batch_size=32)


@dataclass(frozen=True)
class Barred(Mixing):
    """Whose unmixed batches must not be trained on."""

    def batch(self, inputs, step, size):
        batch = super().batch(inputs, step, size)
        return jax.tree.map(lambda a: jnp.where(step < HELD_OUT_STEP, jnp.nan, a), batch)


@pytest.mark.parametrize("small", [True, False], ids=["side by side", "one by one"])
def test_the_saes_of_a_block_share_one_stream(small, tmp_path, monkeypatch):
    monkeypatch.setattr("superposition.training.sae_blocks.is_small", lambda sae: False)  # one block
    monkeypatch.setattr("superposition.training.sae.is_small", lambda sae: small)
    plain = mixed_stream(KEY, array_stream(KEY, X), 4)
    stream = plain._replace(source=Barred(plain.source.source, 4))
    grid = fit(RUN, stream, {"seed": (0, 1)}, directory=tmp_path)
    held = safetensors.numpy.load_file(checkpoint._path(tmp_path / "block-0", 30) / checkpoint.STATE)
    assert held[".params['W_dec']"].shape == (2, 8, 5)
    np.testing.assert_array_equal(held[".stream.x"], emitted(stream, 30, 32)[1].x)  # one step each, for all
    assert grid[0].fault is grid[1].fault is None
    assert (grid[0].params["W_dec"] != grid[1].params["W_dec"]).any()


def test_an_interrupted_fit_goes_on_with_its_buffer_to_the_bit(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "FIRST_CHUNK", 7)
    monkeypatch.setattr(loop, "CHUNK_SECONDS", 1e-9)
    stream, whole, parts = mixed_stream(KEY, array_stream(KEY, X), 4), tmp_path / "whole", tmp_path / "parts"
    fit(RUN, stream, directory=whole)
    halted = iter([False, False])
    fit(RUN, stream, directory=parts, stop=lambda: next(halted, True))
    assert checkpoint.latest(parts / "block-0") == 14
    fit(RUN, stream, directory=parts)
    final = f"block-0/step-{30:012d}/state.safetensors"
    assert (whole / final).read_bytes() == (parts / final).read_bytes()


def test_what_no_buffer_can_be_is_refused():
    with pytest.raises(ConfigError, match="batches must be an integer"):
        Mixing(Counting(), 0)
    with pytest.raises(ConfigError, match=r"fewer than 2\^31.*16 batches of 268435456"):
        Mixing(Counting()).check(2**28)
    with pytest.raises(ConfigError, match="at most the 400 examples"):
        fit(replace(RUN, batch_size=401), mixed_stream(KEY, array_stream(KEY, X)))
