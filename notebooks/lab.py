"""Checks of the course's exercises: each says what is wrong with an answer, and nothing when it is right.

    from lab import check_encode
    check_encode(encode)

A check raises `Wrong`, an AssertionError whose text is for the student.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
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


# Lesson 08: how well a unit detects a script. Tokens are in the order of a file, those of the script first.


def check_share_of_top(share_of_top: Callable[..., Any]) -> None:
    """Of the n tokens on which a unit fires most strongly, the share in the script; 0 where it never fires."""
    activation, in_script = _detector()
    order = np.argsort(-activation)
    for n in (6, 55):  # it fires on fewer than 55
        top = order[:n][activation[order[:n]] > 0]
        right = in_script[top].mean()
        value = _answer("share_of_top", share_of_top(activation, in_script, n), ())
        _refuse_wrong(value, right, {
            "tokens on which the unit is silent are counted: keep those with activation > 0": in_script[order[:n]].mean(),
            "these are the weakest tokens: sort by -activation": in_script[np.argsort(activation)[:n]].mean(),
            f"it fires on {len(top)} tokens only, fewer than n: divide by how many you look at": in_script[top].sum() / n,
            "this is the number of tokens in the script: divide by how many you look at": in_script[top].sum(),
            "this is the share of the script that is among the top: divide by how many tokens you look at, not by how "
            "many are in the script": in_script[top].sum() / in_script.sum(),
        }, "share_of_top")  # fmt: skip
        _same(value, right, "share_of_top", "the share of the top n in the script")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a mean of nothing
        value = _answer("share_of_top", share_of_top(0 * activation, in_script, 6), ())
    if value != 0:
        raise Wrong(f"share_of_top: a unit that never fires has share 0; got {value}")


def check_average_precision(average_precision: Callable[..., Any]) -> None:
    """The mean over the script's tokens of the weighted precision there; 0 at those on which the unit is silent."""
    activation, in_script = _detector()
    order, rarity = np.argsort(-activation, kind="stable"), 0.01
    weight = np.where(in_script, rarity / in_script.sum(), (1 - rarity) / (~in_script).sum())
    hit, on = in_script[order], activation[order] > 0

    def mean(weight: np.ndarray, which: np.ndarray, n: int) -> float:
        precision = np.cumsum((weight * in_script)[order]) / np.cumsum(weight[order])
        return float(precision[which].sum() / n)

    n, right = int(hit.sum()), mean(weight, hit & on, int(hit.sum()))
    rising = np.argsort(activation, kind="stable")
    upward = np.cumsum((weight * in_script)[rising]) / np.cumsum(weight[rising])
    plain = np.cumsum(weight * 0 + hit * weight[order]) / np.arange(1, len(hit) + 1)
    value = _answer("average_precision", average_precision(activation, in_script, rarity), ())
    _refuse_wrong(value, right, {
        "rarity is not used: weigh the tokens": mean(np.ones(len(hit)), hit & on, n),
        "tokens on which the unit is silent are counted in the order of the file, which means nothing; they are never "
        "found": mean(weight, hit, n),
        "the mean is over the script's tokens that were found; those on which the unit is silent count, too, with 0":
            mean(weight, hit & on, int((hit & on).sum())),
        "the mean is over all tokens; take it over those of the script": mean(weight, on | ~on, len(hit)),
        "the weakest tokens come first: sort by -activation":
            float(upward[in_script[rising] & (activation[rising] > 0)].sum() / n),
        "precision is a share of weight: divide by the weights so far, not by how many tokens": float(plain[hit & on].sum() / n),
        "weights belong to tokens: bring them into the same order as the activations":
            float((np.cumsum(weight * hit) / np.cumsum(weight))[hit & on].sum() / n),
    }, "average_precision")  # fmt: skip
    _same(value, right, "average_precision", "the mean of the precisions at the script's tokens")


# Lesson 09: a rule for when a latent fires.


def check_scores(scores: Callable[..., Any]) -> None:
    """Precision = right / says, recall = right / fires, F1 = 2 PR / (P + R), each 0 where there is nothing to divide by."""
    says, fires = np.arange(20) < 10, (np.arange(20) >= 6) & (np.arange(20) < 11)
    p, r = 0.4, 0.8
    value = _answer("scores", scores(says, fires), (3,))
    _refuse_wrong(value, (p, r, 2 * p * r / (p + r)), {
        "precision and recall are exchanged: precision divides by how often the rule says yes": (r, p, 2 * p * r / (p + r)),
        "F1 is not the mean of precision and recall: it is 2 P R / (P + R)": (p, r, (p + r) / 2),
        "F1 misses its 2: 2 P R / (P + R)": (p, r, p * r / (p + r)),
        "these are percentages; give shares": (100 * p, 100 * r, 200 * p * r / (p + r)),
    }, "scores")  # fmt: skip
    if np.isclose(value[0], 13 / 20):
        raise Wrong(
            "scores: this is accuracy, the share of right answers; a rule that never says yes would do well"
        )
    _same(value, (p, r, 2 * p * r / (p + r)), "scores", "(precision, recall, F1)")
    nothing = np.zeros(20, bool)
    for a, b, words in (
        (nothing, fires, "a rule that never says yes"),
        (says, nothing, "a latent that never fires"),
    ):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = _answer("scores", scores(a, b), (3,))
        except ZeroDivisionError as error:
            raise Wrong(f"scores: divides by 0 for {words}; the scores are then 0") from error
        if not np.array_equal(value, np.zeros(3)):
            raise Wrong(f"scores: {words} has scores 0; got {', '.join(f'{v:.3g}' for v in value)}")


def check_rule(
    rule: Callable[..., Any], words: Sequence[Sequence[str]], fires: np.ndarray, least: float = 0.7
) -> None:
    """A rule that says yes where a latent fires, with F1 of `least` or more on the text it was written on.

    words: the tokens of every row; fires (rows, ctx): where the latent fires. A rule gets the tokens before, and the token.
    """
    says = apply_rule(rule, words)
    right = int((says & fires).sum())
    if not says.any():
        raise Wrong("rule never says yes: compare it with the examples, spaces and capitals included")
    if says.all():
        raise Wrong("rule always says yes")
    precision, recall = right / says.sum(), right / max(int(fires.sum()), 1)
    f1 = 2 * right / (says.sum() + fires.sum())
    if f1 >= least:
        return
    if precision < recall:
        wrong, words_for = says & ~fires, "it says yes where the latent is silent, for example on"
    else:
        wrong, words_for = fires & ~says, "it says no where the latent fires, for example on"
    tokens = Counter(words[i][j] for i, j in zip(*np.nonzero(wrong), strict=True))
    some = ", ".join(repr(token) for token, _ in tokens.most_common(4))
    raise Wrong(f"rule: precision {precision:.2f}, recall {recall:.2f}, F1 {f1:.2f}; {words_for} {some}")


def apply_rule(rule: Callable[..., Any], words: Sequence[Sequence[str]]) -> np.ndarray:
    """What a rule says of every token, (rows, ctx); Wrong where it says neither True nor False, or fails."""
    says = np.zeros((len(words), len(words[0])), bool)
    for i, row in enumerate(words):
        for j, token in enumerate(row):
            before = list(row[:j])
            try:
                said = rule(before, token)
            except Exception as error:
                where = (
                    "at the beginning of a text, where nothing stands before" if j == 0 else f"on {token!r}"
                )
                raise Wrong(f"rule fails {where}: {type(error).__name__}: {error}") from error
            if said is None or said is ...:
                raise Wrong("rule returns nothing yet: write its body, and end it with return")
            if not isinstance(said, bool | np.bool_):
                raise Wrong(f"rule returns {said!r}; it should be True or False")
            says[i, j] = said
    return says


def latent_to_read(latents: np.ndarray, words: np.ndarray) -> int:
    """The latent of lesson 09: of all latents the one that a short rule describes best. Do not look before you have read it.

    latents (tokens, d_sae); words (tokens,).
    """
    on = latents > 0
    secret = np.array([word.strip().lower() == "the" for word in words])
    return int((2 * (on & secret[:, None]).sum(0) / np.maximum(on.sum(0) + secret.sum(), 1)).argmax())


def _detector() -> tuple[np.ndarray, np.ndarray]:
    """Activations (tokens,), half of them 0 and no two others alike, and which tokens are in the script, (tokens,)."""
    rng = np.random.default_rng(3)
    in_script = np.arange(60) < 15
    activation = np.maximum(rng.normal(size=60) + 0.8 * in_script, 0)
    activation[[0, 1]] = 0  # silent on some of the script
    return activation, in_script


def _refuse_wrong(value: np.ndarray, right: Any, mistakes: dict[str, Any], name: str) -> None:
    """`_refuse`, of the mistakes that make a difference here."""
    _refuse(
        value,
        {words: wrong for words, wrong in mistakes.items() if not np.allclose(wrong, right, **CLOSE)},
        name,
    )


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
