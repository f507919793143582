"""Activations of a language model as a stream: the model's own, at usable positions, once an epoch, mixed."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial import cKDTree

from superposition.activations import Mixing
from superposition.errors import ConfigError
from superposition.llm import LanguageModel
from superposition.llm.packing import Tokens
from superposition.llm.stream import lm_stream
from superposition.sae import TopK
from superposition.training import SAERun, fit, loop
from tests.oracles import tiny_lm

KEY = jax.random.key(5)
POST, Z = "blocks.0.mlp.hook_post", "blocks.0.attn.hook_z"
SPEC = tiny_lm.spec(vocab=300)
LM = LanguageModel.of(SPEC, tiny_lm.params(SPEC))
ROWS, CTX = 24, 6


def text(rows=ROWS, drop=()):
    """Rows with BOS in front; a few other positions are special."""
    random = np.random.default_rng(1)
    ids = random.integers(1, 300, (rows, CTX))
    ids[:, 0], ids[:, 1] = 0, 1 + random.permutation(rows)  # nowhere is the text so far the same
    ids[0, 5] = 299
    usable = ids != 0
    for row, position in drop:
        usable[row, position] = False
    return Tokens(ids, usable, np.zeros(rows, np.int32), ("text",))


def places(tokens, hook):
    """What the model itself gives at every position: a tree of activations, numbered by (row, position)."""
    x = np.asarray(LM.run_with_cache(tokens.tokens, [hook])[1][hook], np.float32)
    tree = cKDTree(x.reshape(tokens.tokens.size, -1))
    nearest = tree.query(tree.data, 2)[0][:, 1].reshape(tokens.tokens.shape)
    assert nearest[tokens.usable].min() > 1e-3  # no two are alike
    return tree


def seen(x, where):
    """(row, position) of every example, to the last digits: programs of other shapes round otherwise."""
    distance, number = where.query(np.asarray(x))
    assert distance.max() < 1e-5
    return [divmod(int(n), CTX) for n in number]


def epoch_of(stream, size, epoch=0):
    per_epoch = stream.source.n_rows // stream.source.rows(size)
    return [stream.batch(epoch * per_epoch + i, size) for i in range(per_epoch)]


@pytest.mark.parametrize("hook", [POST, Z])
def test_examples_are_the_models_activations_at_usable_positions_once_an_epoch(hook):
    tokens = text(drop=[(3, 4), (3, 5), (9, 1)])
    stream = lm_stream(KEY, LM, tokens, hook, mixing=0)
    where = places(tokens, hook)
    orders = []
    for epoch in range(3):
        batches = [seen(batch.x, where) for batch in epoch_of(stream, 19, epoch)]  # four rows of five, nearly
        assert [len(batch) for batch in batches] == [19] * 6
        flat = [at for batch in batches for at in batch]
        assert all(tokens.usable[at] for at in flat)
        assert sorted({row for row, _ in flat}) == list(range(ROWS))
        # A batch takes no more than it needs of its rows, and one that has too few takes some twice.
        twice = len(flat) - len(set(flat))
        short = sum(max(0, 19 - int(tokens.usable[sorted({r for r, _ in b})].sum())) for b in batches)
        assert twice == short
        orders.append(flat)
    assert orders[0] != orders[1]
    left_out = [set(zip(*np.nonzero(tokens.usable), strict=True)) - set(order) for order in orders]
    assert left_out[0] != left_out[1]  # other tokens wait each time


def test_whole_rows_leave_nothing_out():
    tokens = text()
    stream = lm_stream(KEY, LM, tokens, POST, mixing=0)
    flat = [at for batch in epoch_of(stream, 4 * (CTX - 1)) for at in seen(batch.x, places(tokens, POST))]
    assert sorted(flat) == [(r, p) for r in range(ROWS) for p in range(1, CTX)]


def test_a_row_with_nothing_usable_is_never_read():
    tokens = text(drop=[(row, p) for row in range(0, ROWS, 2) for p in range(1, CTX)])
    stream = lm_stream(KEY, LM, tokens, POST, mixing=0)
    where = places(tokens, POST)
    flat = [at for batch in epoch_of(stream, 5) for at in seen(batch.x, where)]
    assert len(flat) == 60
    assert all(tokens.usable[at] for at in flat)


def test_targets_are_of_the_same_tokens():
    tokens = text()
    stream = lm_stream(KEY, LM, tokens, "blocks.0.hook_resid_mid", "blocks.0.hook_mlp_out", mixing=3)
    assert (stream.source.d_in, stream.source.d_out) == (16, 16)
    state, inputs, targets = (
        stream.start(10),
        places(tokens, "blocks.0.hook_resid_mid"),
        places(tokens, "blocks.0.hook_mlp_out"),
    )
    for step in range(4):
        batch, state = stream.next(state, step, 10)
        assert seen(batch.y, targets) == seen(batch.x, inputs)


def test_mixing_spreads_the_tokens_of_a_row_and_loses_none():
    tokens = text(rows=240)
    where = places(tokens, POST)

    def rows_in(mixing, steps=40):
        stream = lm_stream(KEY, LM, tokens, POST, mixing=mixing)
        state, batches = stream.start(20), []
        for step in range(steps):
            batch, state = stream.next(state, step, 20)
            batches.append(seen(batch.x, where))
        return batches

    plain, mixed = rows_in(0), rows_in(8)
    assert {len({row for row, _ in batch}) for batch in plain} == {4}
    assert np.mean([len({row for row, _ in batch}) for batch in mixed]) > 14  # of 20
    flat = [at for batch in mixed for at in batch]
    assert len(set(flat)) == len(flat) == 800  # less than an epoch of 1200: nobody twice
    assert all(position > 0 for _, position in flat)
    assert rows_in(8) == mixed
    other = lm_stream(jax.random.key(6), LM, tokens, POST, mixing=8)
    assert seen(other.next(other.start(20), 0, 20)[0].x, where) != mixed[0]


def test_the_stream_does_not_depend_on_chunks(monkeypatch):
    """An SAE trained in one compiled chunk and in many: the same bits."""
    run = SAERun(sae=TopK(d_in=24, d_sae=16, k=2), steps=40, batch_size=16)
    stream = lm_stream(KEY, LM, text(), POST, mixing=4)

    def trained():
        (one,) = fit(run, stream)
        return {name: np.asarray(value).tobytes() for name, value in one.params.items()}

    whole = trained()
    monkeypatch.setattr(loop, "FIRST_CHUNK", 7)
    monkeypatch.setattr(loop, "CHUNK_SECONDS", 1e-9)
    assert trained() == whole


def test_bfloat16_models_give_float32_examples():
    low = LanguageModel.of(SPEC, {name: jnp.asarray(v, jnp.bfloat16) for name, v in LM.params.items()})
    tokens = text()
    stream = lm_stream(KEY, low, tokens, POST, mixing=0)
    batch = stream.batch(0, 10)
    assert batch.x.dtype == jnp.float32
    x = low.run_with_cache(tokens.tokens, [POST])[1][POST]
    assert x.dtype == jnp.bfloat16
    known = {row.tobytes() for row in np.asarray(x.astype(jnp.float32)).reshape(-1, 24)}
    assert {row.tobytes() for row in np.asarray(batch.x)} <= known


def test_what_cannot_be_streamed_is_refused():
    tokens = text()
    with pytest.raises(ConfigError, match=r"takes 25 rows of 6 tokens; the text has 24"):
        lm_stream(KEY, LM, tokens, POST).source.check(121)
    lm_stream(KEY, LM, tokens, POST).source.check(120)
    with pytest.raises(ConfigError, match="no usable position"):
        lm_stream(KEY, LM, tokens._replace(usable=np.zeros_like(tokens.usable)), POST)
    short = replace(SPEC, n_ctx=5)
    other = LanguageModel.of(short, tiny_lm.params(short))
    with pytest.raises(ConfigError, match=r"rows of 6 tokens exceed the model's 5 positions"):
        lm_stream(KEY, other, tokens, POST)
    with pytest.raises(ConfigError, match=r"\[0, 300\); got 300: they are of another tokenizer"):
        lm_stream(KEY, LM, tokens._replace(tokens=tokens.tokens + 1), POST)
    with pytest.raises(ConfigError, match="no activation per token"):
        lm_stream(KEY, LM, tokens, "blocks.0.attn.hook_pattern")
    with pytest.raises(ConfigError, match=r"did you mean .*mlp.hook_post"):
        lm_stream(KEY, LM, tokens, "blocks.0.mlp.hook_pots")
    assert isinstance(lm_stream(KEY, LM, tokens, POST).source, Mixing)
