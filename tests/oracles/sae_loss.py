"""SAE losses from their equations in numpy float64: one function a family, returning the named terms.

Shares nothing with superposition.sae but the recipes' fields. `frozen` are the parameters seen by whatever
carries a stop-gradient, so that finite differences in `p` are the gradient that training should follow.
"""

import numpy as np


def relu(z):
    return np.maximum(z, 0.0)


def inside(sae, p, x):
    return x - p["b_dec"] if sae.d_out is None and sae.apply_b_dec_to_input else x


def pre_acts(sae, p, x):
    return inside(sae, p, x) @ p["W_enc"] + p["b_enc"]


def decode(sae, p, f, x):
    y = f @ p["W_dec"] + p["b_dec"]
    return y + x @ p["W_skip"].T if sae.skip else y


def squared(error):
    return (error**2).sum(-1).mean()


def normalized(error, y):
    return (error**2).sum() / ((y - y.mean(0)) ** 2).sum()


def relu_terms(sae, p, x, y, state, frozen):
    f = relu(pre_acts(sae, p, x))
    weights = np.sqrt((p["W_dec"] ** 2).sum(-1))
    l1 = sae.penalty * (f * weights).sum(-1).mean()
    return {"mse": squared(y - decode(sae, p, f, x)), "l1": l1}


def bricken_terms(sae, p, x, y, state, frozen):
    f = relu(pre_acts(sae, p, x))
    return {"mse": squared(y - decode(sae, p, f, x)), "l1": sae.penalty * f.sum(-1).mean()}


def gated_terms(sae, p, x, y, state, frozen):
    z = inside(sae, p, x) @ p["W_enc"]
    gate = relu(z + p["b_gate"])
    f = (z + p["b_gate"] > 0) * relu(np.exp(p["r_mag"]) * z + p["b_mag"])
    return {
        "mse": squared(y - decode(sae, p, f, x)),
        "l1": sae.penalty * gate.sum(-1).mean(),
        "gate_aux": squared(y - decode(sae, frozen, gate, x)),
    }


def jumprelu_terms(sae, p, x, y, state, frozen):
    z, n = pre_acts(sae, p, x), np.sqrt((p["W_dec"] ** 2).sum(-1))
    on = z > p["threshold"]
    f = z * on
    if sae.sparsity_loss == "tanh":
        sparsity = np.tanh(sae.tanh_scale * f * n).sum(-1).mean()
    elif sae.sparsity_loss == "step":
        sparsity = on.sum(-1).mean()
    else:
        sparsity = (2 / sae.l0_target * (on.sum(-1) - sae.l0_target) ** 2).mean()
    terms = {"mse": squared(y - decode(sae, p, f, x)), "sparsity": sae.penalty * sparsity}
    if sae.pre_act_penalty:
        terms["pre_act"] = sae.pre_act_penalty * (relu(p["threshold"] - z) * n).sum(-1).mean()
    return terms


def jumprelu_gradient(sae, p, x, y):
    """The straight-through gradient by hand: dH/dt = -K/eps, dJ/dt = -t K/eps, K two-sided in pre-activations."""
    batch, eps, t = len(x), sae.bandwidth, p["threshold"]
    z, n = pre_acts(sae, p, x), np.sqrt((p["W_dec"] ** 2).sum(-1))
    on, K = z > t, (np.abs(z - t) < eps / 2) / eps
    f = z * on
    dy = -2 * (y - decode(sae, p, f, x)) / batch
    df, dstep, dn = dy @ p["W_dec"].T, np.zeros_like(z), np.zeros_like(n)
    if sae.sparsity_loss == "tanh":
        slope = sae.penalty / batch / np.cosh(sae.tanh_scale * f * n) ** 2 * sae.tanh_scale
        df, dn = df + slope * n, (slope * f).sum(0)
    elif sae.sparsity_loss == "step":
        dstep += sae.penalty / batch
    else:
        l0 = on.sum(-1, keepdims=True)
        dstep += sae.penalty * 4 / sae.l0_target * (l0 - sae.l0_target) / batch
    dt = -((t * df + dstep) * K).sum(0)
    dz = df * (on & (z > 0)) + sae.to_input * (t * df + dstep) * K
    below = sae.pre_act_penalty / batch * (t > z)
    dt, dz, dn = dt + (below * n).sum(0), dz - below * n, dn + (below * (t - z)).sum(0)
    gradient = {
        "W_enc": inside(sae, p, x).T @ dz,
        "b_enc": dz.sum(0),
        "W_dec": f.T @ dy + dn[:, None] * p["W_dec"] / n[:, None],
        "b_dec": dy.sum(0),
        "threshold": dt,
    }
    if sae.d_out is None and sae.apply_b_dec_to_input:
        gradient["b_dec"] = gradient["b_dec"] - p["W_enc"] @ dz.sum(0)
    return gradient | ({"W_skip": dy.T @ x} if sae.skip else {})


def rescaling(sae, p):
    return np.sqrt((p["W_dec"] ** 2).sum(-1)) if sae.rescale_acts_by_decoder_norm else 1.0


def largest(values, count):
    """Which of a flat array are among the `count` largest positive ones."""
    order = [i for i in np.argsort(-values, kind="stable") if values[i] > 0]
    kept = np.zeros(len(values), bool)
    kept[order[: int(count)]] = True
    return kept


def aux_term(sae, p, x, y, state, e):
    """AuxK by its dense formula: the k_aux largest pre-activations of dead latents rebuild e."""
    dead = np.asarray(state["silent"]) >= sae.dead_after
    if not dead.any():
        return 0.0
    z, rank = pre_acts(sae, p, x), pre_acts(sae, p, x) * rescaling(sae, p)
    k = sae.k_aux or max(1, sae.d_in // 2)
    kept = np.stack([largest(np.where(dead, row, -1.0), k) for row in rank])
    e_hat = np.where(kept, relu(z), 0.0) @ p["W_dec"]
    return sae.aux_coefficient * ((e - e_hat) ** 2).sum() / ((e - e.mean(0)) ** 2).sum()


def selected(sae, p, x):
    """Latents kept in training, before any division by norms."""
    rank = pre_acts(sae, p, x) * rescaling(sae, p)
    if type(sae).__name__ == "TopK":
        kept = np.stack([largest(row, sae.k) for row in rank])
    else:
        kept = largest(rank.ravel(), np.floor(sae.k * len(x))).reshape(rank.shape)
    return np.where(kept, pre_acts(sae, p, x), 0.0)


def topk_terms(sae, p, x, y, state, frozen):
    e = y - decode(sae, frozen, selected(sae, frozen, x), x)
    mse = normalized(y - decode(sae, p, selected(sae, p, x), x), y)
    return {"mse_normalized": mse, "auxk": aux_term(sae, p, x, y, state, e)}


def abstopk_terms(sae, p, x, y, state, frozen):
    def latents(p):
        z = pre_acts(sae, p, x)
        kept = np.stack([largest(np.abs(row), sae.k) for row in z * rescaling(sae, p)])
        return np.where(kept, z, 0.0)

    e = y - decode(sae, frozen, latents(frozen), x)
    mse = normalized(y - decode(sae, p, latents(p), x), y)
    return {"mse_normalized": mse, "auxk": aux_term(sae, p, x, y, state, e)}


def matryoshka_terms(sae, p, x, y, state, frozen):
    f = selected(sae, p, x)
    parts = []
    for m in sae.prefixes:
        prefix = np.where(np.arange(sae.d_sae) < m, f, 0.0)
        parts.append(normalized(y - decode(sae, p, prefix, x), y))
    e = y - decode(sae, frozen, selected(sae, frozen, x), x)
    return {"mse_normalized": np.mean(parts), "auxk": aux_term(sae, p, x, y, state, e)}


def pursue(sae, p, x):
    D = p["W_dec"] if sae.d_out is None else p["W_enc"].T
    f = np.zeros((len(x), sae.d_sae))
    for row, residual in enumerate(inside(sae, p, x)):
        r = residual.copy()
        for _ in range(sae.max_iterations or sae.d_in):
            scores = D @ r
            j = int(np.argmax(scores))
            if scores[j] <= 0:
                break
            repeated = f[row, j] > 0
            f[row, j] += scores[j]
            r = r - scores[j] * D[j]
            if np.sqrt(r @ r) < sae.residual_threshold or (sae.stop_on_duplicate_support and repeated):
                break
    return f


def pursuit_terms(sae, p, x, y, state, frozen):
    return {"mse": squared(y - decode(sae, p, pursue(sae, p, x), x))}


def linear_terms(sae, p, x, y, state, frozen):
    return {"mse": squared(y - decode(sae, p, pre_acts(sae, p, x), x))}


TERMS = {
    "relu": relu_terms,
    "random": relu_terms,
    "bricken": bricken_terms,
    "gated": gated_terms,
    "topk": topk_terms,
    "abstopk": abstopk_terms,
    "batch-topk": topk_terms,
    "jumprelu": jumprelu_terms,
    "matryoshka": matryoshka_terms,
    "matching-pursuit": pursuit_terms,
    "identity": linear_terms,
    "pca": linear_terms,
}


def doubles(tree):
    return {name: np.asarray(a, np.float64) for name, a in tree.items()}


def loss(name, sae, params, x, y, state, frozen=None):
    """Terms of the loss of architecture `name`."""
    p, x, y = doubles(params), np.asarray(x, np.float64), np.asarray(y, np.float64)
    return TERMS[name](sae, p, x, y, state, p if frozen is None else doubles(frozen))


def gradient(name, sae, params, x, y, state, h=1e-6):
    """Central differences of the total, every entry of every parameter."""
    p, result = doubles(params), {}
    for key, array in p.items():
        slope = np.zeros(array.size)
        for i in range(array.size):
            ends = []
            for sign in (1, -1):
                moved = array.copy()
                moved.ravel()[i] += sign * h
                ends.append(sum(loss(name, sae, {**p, key: moved}, x, y, state, p).values()))
            slope[i] = (ends[0] - ends[1]) / (2 * h)
        result[key] = slope.reshape(array.shape)
    return result
