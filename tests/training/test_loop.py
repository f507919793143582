import signal
import threading
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from superposition.features import SparseUniform
from superposition.storage import checkpoint
from superposition.toy import ReLUOutput
from superposition.training import loop
from superposition.training.toy import Program, ToyRun
from superposition.training.toy_state import Cells

STEPS = 60


@dataclass(frozen=True)
class Walk:
    """A program whose state after i steps is known: the sum of 0 .. i-1, and a hash of its own bits."""

    def step(self, inputs, state, i):
        total, trail = state
        return total + i, (trail * 1664525 + i.astype(jnp.uint32) + inputs).astype(jnp.uint32)


def walk(steps, **options):
    state = (jnp.int32(0), jnp.uint32(1))
    return loop.train(Walk(), jnp.uint32(7), state, steps, **options)


def toy():
    program = Program(ToyRun(ReLUOutput(6, 2), SparseUniform(), steps=STEPS, batch_size=32), shared_draw=True)
    cells = Cells(jnp.zeros(3, jnp.uint32), jnp.full((3, 6), 0.2), jnp.ones((3, 6)), {})
    return program, *program.start(cells)


def same_bits(a, b):
    return all(
        np.asarray(x).tobytes() == np.asarray(y).tobytes()
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


def test_every_step_runs_once():
    (total, _), done = walk(1000)
    assert done == 1000
    assert int(total) == 1000 * 999 // 2


@given(st.lists(st.integers(1, STEPS), min_size=0, max_size=5))
def test_chunking_never_changes_a_bit(cuts):
    program, inputs, state = toy()
    whole = loop.advance(program, inputs, jax.tree.map(jnp.copy, state), np.int32(0), np.int32(STEPS))
    at = 0
    for cut in [*sorted(set(cuts)), STEPS]:
        state = loop.advance(program, inputs, state, np.int32(at), np.int32(cut - at))
        at = cut
    assert same_bits(whole, state)


def test_stopping_anywhere_and_resuming_gives_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "FIRST_CHUNK", 7)
    monkeypatch.setattr(loop, "CHUNK_SECONDS", 1e-6)
    program, inputs, state = toy()
    whole, _ = loop.train(program, inputs, jax.tree.map(jnp.copy, state), STEPS)
    sessions = 0
    done = 0
    while done < STEPS:
        looks = iter([False, sessions % 2 == 0, True])  # one or two chunks a session
        _, _, fresh = toy()
        result, done = loop.train(
            program, inputs, fresh, STEPS, directory=tmp_path, stop=lambda looks=looks: next(looks, True)
        )
        sessions += 1
    assert sessions > 3
    assert same_bits(whole, result)


def test_checkpoints_are_written_while_running(tmp_path):
    walk(200_000, directory=tmp_path, checkpoint_seconds=0.0)
    assert 0 < checkpoint.latest(tmp_path) < 200_000


def test_signals_set_a_flag_and_are_given_back():
    before = signal.getsignal(signal.SIGTERM)
    with loop.interruptible() as stop:
        assert not stop()
        signal.raise_signal(signal.SIGTERM)
        assert stop()
        assert stop.interrupted("saved").exit_status == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    with loop.interruptible() as stop:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # asked twice: the next one ends the process
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL


def test_other_threads_may_train_without_signals():
    seen = []
    thread = threading.Thread(target=lambda: seen.append(walk_with_stop()))
    thread.start()
    thread.join(60)
    assert seen == [True]


def walk_with_stop():
    with loop.interruptible() as stop:
        return walk(10, stop=stop)[1] == 10
