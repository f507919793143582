"""Values that no setting expects, of every kind: what a border has to refuse in words or make something of."""

import decimal
import fractions

import jax.numpy as jnp
import ml_dtypes
import numpy as np
from hypothesis import strategies as st

NUMBERS = (
    0,
    1,
    2,
    3,
    5,
    -1,
    0.0,
    -0.0,
    0.5,
    1.0,
    1.5,
    1e-30,
    1e30,
    1e300,
    -1e300,
    2**31,
    2**32 - 1,
    2**63,
    10**40,
    10**5000,
)
STRANGE = (
    None, True, False, "", "1", "many", "relu-output", b"1", bytearray(b"1"), 1j, complex("nan"), float("nan"),
    float("inf"), -float("inf"), {}, {"a": 1}, set(), object(), int, len, ..., slice(3), range(3), range(10**12),
    decimal.Decimal("0.5"), fractions.Fraction(1, 2), memoryview(b"12"),
)  # fmt: skip
DTYPES = (
    np.bool_, np.int8, np.uint8, np.int32, np.uint32, np.int64, np.uint64, np.float16, np.float32, np.float64,
    np.longdouble, np.complex64, np.complex128, ml_dtypes.bfloat16,
)  # fmt: skip


def _arrays():
    for dtype in DTYPES:
        for value in (0, 1, 3):
            yield dtype(value)
            yield np.asarray(value, dtype)
            yield np.asarray([value, 1], dtype)
    for value in (np.nan, np.inf, -1.0):
        yield np.float32(value)
        yield np.asarray(value)
    yield from (
        np.zeros(0),
        np.zeros((2, 2)),
        np.array(["a", "b"]),
        np.array("a"),
        np.array([None, 1]),
        np.str_("xavier"),
    )
    yield from (np.datetime64("2020-01-01"), np.timedelta64(3), np.void(b"ab"), np.array([(1, 2)], "i4,i4"))
    yield from (
        jnp.float32(0.5),
        jnp.int32(3),
        jnp.zeros(2),
        jnp.ones((2, 2)),
        jnp.array(True),
        jnp.bfloat16(1),
    )


SINGLE = (*NUMBERS, *STRANGE, *_arrays())


def hostile():
    """One of them, or a list, tuple or dict of them."""
    one = st.integers(0, len(SINGLE) - 1).map(SINGLE.__getitem__)  # not all can be hashed
    several = st.lists(one, max_size=3)
    return st.one_of(one, one, one, several, several.map(tuple), st.lists(several, max_size=2))
