"""Checks of the course's exercises: each says what is wrong with an answer, and nothing when it is right.

    from lab import check_encode
    check_encode(encode)

A check raises `Wrong`, an AssertionError whose text is for the student.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

Params = dict[str, np.ndarray]
D_IN, D_SAE, EXAMPLES, PENALTY = 4, 6, 50, 0.3
CLOSE = {"rtol": 1e-3, "atol": 1e-4}


class Wrong(AssertionError):
    """An answer is not right yet; the text says in what."""


def check_encode(encode: Callable[..., Any]) -> None:
    """Encoder: f = ReLU((h - b_dec) W_enc + b_enc), (examples, d_sae)."""
    params, h, _ = _case()
    f = _answer("encode", encode(params, h), (EXAMPLES, D_SAE))
    before = (h - params["b_dec"]) @ params["W_enc"] + params["b_enc"]
    _refuse(f, {
        "some latents are negative: apply the ReLU last": before,
        "b_enc is not added": np.maximum(before - params["b_enc"], 0),
        "b_dec is not subtracted from h first": np.maximum(h @ params["W_enc"] + params["b_enc"], 0),
        "b_enc is added after the ReLU: it belongs inside": np.maximum(before - params["b_enc"], 0) + params["b_enc"],
    }, "encode")  # fmt: skip
    _same(f, np.maximum(before, 0), "encode", "f = ReLU((h - b_dec) W_enc + b_enc)")


def check_decode(decode: Callable[..., Any]) -> None:
    """Decoder: h_hat = f W_dec + b_dec, (examples, d_in)."""
    params, _, f = _case()
    h_hat = _answer("decode", decode(params, f), (EXAMPLES, D_IN))
    right = f @ params["W_dec"] + params["b_dec"]
    _refuse(h_hat, {
        "b_dec is not added": right - params["b_dec"],
        "the ReLU is for latents only: a reconstruction may be negative": np.maximum(right, 0),
    }, "decode")  # fmt: skip
    _same(h_hat, right, "decode", "h_hat = f W_dec + b_dec")


def check_loss(loss: Callable[..., Any]) -> None:
    """The mean over examples of ||h - h_hat||^2 + penalty * sum_i f_i ||W_dec,i||, one number."""
    params, h, _ = _case()
    f = np.maximum((h - params["b_dec"]) @ params["W_enc"] + params["b_enc"], 0)
    error = ((h - f @ params["W_dec"] - params["b_dec"]) ** 2).sum(1).mean()
    norms = np.linalg.norm(params["W_dec"], axis=1)
    sparse, plain = (f @ norms).mean(), f.sum(1).mean()
    value = _answer("loss", loss(params, h, PENALTY), ())
    _refuse(value, {
        "the penalty is missing": error,
        "the error is a mean over activations; take their sum, and the mean over examples": error / D_IN + PENALTY * sparse,
        "the penalty does not weigh latents by the norms of their decoder rows, so that a model could shrink f and "
        "grow W_dec": error + PENALTY * plain,
        "the loss is a sum over examples; take the mean": EXAMPLES * (error + PENALTY * sparse),
        "only the penalty is there; the squared error is missing": PENALTY * sparse,
    }, "loss")  # fmt: skip
    _same(value, error + PENALTY * sparse, "loss", "mean(||h - h_hat||^2 + penalty * sum_i f_i ||W_dec,i||)")


def check_pseudo_identity(l0: float, fvu: float, found: float) -> None:
    """Without a penalty: nearly nothing is lost, many latents are active, and few features are found."""
    if fvu > 0.02:
        raise Wrong(
            f"pseudo-identity: {fvu:.0%} of the variance is lost; without a penalty next to none is. Is it 0?"
        )
    if l0 < 2:
        raise Wrong(f"pseudo-identity: only {l0:.1f} latents are active at a time; is the penalty really 0?")
    if found > 0.5:
        raise Wrong(f"pseudo-identity: {found:.0%} of the features are found, which needs a penalty")


def _case() -> tuple[Params, np.ndarray, np.ndarray]:
    """Parameters, activations (examples, d_in) and latents (examples, d_sae) with nothing special about them."""
    rng = np.random.default_rng(7)
    shapes = {"W_enc": (D_IN, D_SAE), "b_enc": (D_SAE,), "W_dec": (D_SAE, D_IN), "b_dec": (D_IN,)}
    params = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return params, rng.normal(size=(EXAMPLES, D_IN)), np.abs(rng.normal(size=(EXAMPLES, D_SAE)))


def _answer(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    if value is None or value is ...:
        raise Wrong(f"{name} returns nothing yet: write its body, and end it with return")
    array: np.ndarray = np.asarray(value, float)
    if array.shape != shape:
        raise Wrong(f"{name} returns shape {array.shape}; it should be {shape}")
    return array


def _refuse(value: np.ndarray, mistakes: dict[str, Any], name: str) -> None:
    for words, wrong in mistakes.items():
        if np.allclose(value, wrong, **CLOSE):
            raise Wrong(f"{name}: {words}")


def _same(value: np.ndarray, right: Any, name: str, equation: str) -> None:
    if not np.allclose(value, right, **CLOSE):
        off = float(np.abs(value - right).max())
        raise Wrong(f"{name} is not {equation}: it differs by up to {off:.3g}")
