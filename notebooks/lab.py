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


# Lesson 11: steering, selectivity, ablation.


def check_steer(steer: Callable[..., Any]) -> None:
    """Steering: h' = h + amount W_dec[latent], at every position."""
    h, f, W, latent, amount = _moved()
    answer = _answer("steer", steer(h, W, latent, amount), h.shape)
    way = W[latent]
    held = h.copy()
    held[:, -1] += amount * way
    _refuse(answer, {
        "nothing is added: the activations come back as they were": h,
        "the dose is missing: multiply the direction by amount": h + way,
        "the direction is taken away; add it": h - amount * way,
        "the direction is scaled to length 1; take the row of W_dec as it is, since the dose is in units of the latent":
            h + amount * way / np.linalg.norm(way),
        "only the last position is moved; move them all": held,
        "the activations are replaced; add to them": np.broadcast_to(amount * way, h.shape),
        "that sets the latent to the dose (clamping); steering adds to what is there":
            h + (amount - f[..., latent, None]) * way,
    }, "steer")  # fmt: skip
    _same(answer, h + amount * way, "steer", "h + amount W_dec[latent]")


def check_selectivity(selectivity: Callable[..., Any]) -> None:
    """Selectivity: the own change less the largest of the others."""
    for moved, own in ((np.array([0.5, 3.0, 1.25, -4.0]), 1), (np.array([-1.0, 2.0, -3.0]), 1)):
        value = _answer("selectivity", selectivity(moved.copy(), own), ())
        others = np.delete(moved, own)
        _refuse(value, {
            "the other sets are missing: subtract the largest of them": moved[own],
            "the own set is among those that it is compared with: leave it out": moved[own] - moved.max(),
            "that is the distance from the mean of the others; one other set that rises is enough to spoil it, so take "
            "the largest": moved[own] - others.mean(),
            "changes of log-probabilities are subtracted, not divided": moved[own] / others.max(),
            "the sign is turned: own minus others": others.max() - moved[own],
            "a fall counts as much as a rise here; take the largest change, not the largest size":
                moved[own] - np.abs(others).max(),
        }, "selectivity")  # fmt: skip
        _same(value, moved[own] - others.max(), "selectivity", "moved[own] - the largest of the others")


def check_ablate(ablate: Callable[..., Any]) -> None:
    """Ablation with the error term: h' = h - f_i W_dec[i]."""
    h, f, W, latent, _ = _moved()
    answer = _answer("ablate", ablate(h, f, W, latent), h.shape)
    part = f[..., latent, None] * W[latent]
    without = f.copy()
    without[..., latent] = 0
    _refuse(answer, {
        "nothing is taken out": h,
        "the activation of the latent is missing: take f_i times its direction away": h - W[latent],
        "the part of the latent is added; take it away": h + part,
        "that is the SAE's reconstruction without the latent: what the SAE does not explain is lost; start from h":
            without @ W,
        "only the part of the latent is left; take it away from h": part,
        "that takes every latent out": h - f @ W,
        "every position is given the activation of the last one": h - f[:, -1:, latent, None] * W[latent],
    }, "ablate")  # fmt: skip
    _same(answer, h - part, "ablate", "h - f_i W_dec[i]")


def _moved() -> tuple[np.ndarray, np.ndarray, np.ndarray, int, float]:
    """Activations (2, 5, d_in), their latents, decoder rows that are not of length 1, a latent that fires, a dose."""
    rng = np.random.default_rng(11)
    f = np.abs(rng.normal(size=(2, 5, D_SAE)))
    return rng.normal(size=(2, 5, D_IN)), f, 0.5 + rng.normal(size=(D_SAE, D_IN)), 3, 2.5
