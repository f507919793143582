"""A decoder in plain numpy float64, one head and one query at a time, driven by the Spec."""

import numpy as np
from scipy.special import erf


def forward(spec, params, tokens, valid=None):
    """Residuals by hook name, and "logits", for tokens (batch, pos); valid is False for padding."""
    params = {name: np.asarray(value, np.float64) for name, value in params.items()}
    tokens = np.asarray(tokens)
    valid = np.ones(tokens.shape, bool) if valid is None else np.asarray(valid, bool)
    rows = [_row(spec, params, t, v) for t, v in zip(tokens, valid, strict=True)]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _row(spec, params, tokens, valid):
    positions = np.maximum(np.cumsum(valid) - 1, 0)
    seen = {}
    x = params["embed.W"][tokens] * (spec.embed_scale or 1.0)
    if spec.learned_positions:
        x = x + params["pos.W"][positions]
    for i, layer in enumerate(spec.layers):
        own = {n.removeprefix(f"blocks.{i}."): p for n, p in params.items() if n.startswith(f"blocks.{i}.")}
        seen[f"blocks.{i}.hook_resid_pre"] = x
        a = _attention(spec, layer, own, _norm(spec, own, "ln1", x), positions, valid)
        if spec.post_norms:
            a = _norm(spec, own, "ln1_post", a)
        middle = x + a
        if not spec.parallel:
            seen[f"blocks.{i}.hook_resid_mid"] = middle
        m = _mlp(spec, own, _norm(spec, own, "ln2", x if spec.parallel else middle))
        if spec.post_norms:
            m = _norm(spec, own, "ln2_post", m)
        seen[f"blocks.{i}.hook_resid_post"] = x = middle + m
    logits = _norm(spec, params, "ln_final", x) @ (params["embed.W"].T if spec.tied else params["unembed.W"])
    return {**seen, "logits": _cap(logits, spec.logit_softcap)}


def _norm(spec, params, name, x):
    w = params[f"{name}.w"]
    if spec.norm == "layer":
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(
            x.var(-1, keepdims=True) + spec.norm_eps
        ) * w + params[f"{name}.b"]
    x = x / np.sqrt((x**2).mean(-1, keepdims=True) + spec.norm_eps)
    return x * (w + 1 if spec.norm == "rms_unit_offset" else w)


def _attention(spec, layer, p, x, positions, valid):
    def project(part, n):
        y = x @ p[f"attn.W_{part}"] + p.get(f"attn.b_{part}", 0)
        return y.reshape(len(x), n, spec.d_head)

    q, k, v = project("Q", spec.n_heads), project("K", spec.n_kv_heads), project("V", spec.n_kv_heads)
    if spec.qk_norm:
        q, k = _norm(spec, p, "attn.q_norm", q), _norm(spec, p, "attn.k_norm", k)
    if layer.rotary:
        q, k = _turn(q, positions, layer.rotary), _turn(k, positions, layer.rotary)
    z = np.zeros((len(x), spec.n_heads, spec.d_head))
    for head in range(spec.n_heads):
        group = head * spec.n_kv_heads // spec.n_heads
        for t in range(len(x)):
            first = 0 if layer.window is None else max(0, t - layer.window + 1)
            keys = [s for s in range(first, t + 1) if valid[s]]
            if not keys:
                continue  # a padded query: nobody reads it
            scores = _cap(layer.scale * k[keys, group] @ q[t, head], spec.attention_softcap)
            weights = np.exp(scores - scores.max())
            z[t, head] = weights / weights.sum() @ v[keys, group]
    return z.reshape(len(x), -1) @ p["attn.W_O"] + p.get("attn.b_O", 0)


def _turn(x, positions, rotary):
    half = rotary.dims // 2
    frequency = rotary.theta ** (-2 * np.arange(half) / rotary.dims)
    if rotary.scaling and rotary.scaling[0] == "linear":
        frequency = frequency / rotary.scaling[1]
    elif rotary.scaling:
        _, factor, low, high, original = rotary.scaling
        turns = original * frequency / (2 * np.pi)  # in the original context
        kept = np.where(turns > high, 1.0, np.where(turns < low, 0.0, (turns - low) / (high - low)))
        frequency = frequency * (kept + (1 - kept) / factor)
    pair = x[..., :half] + 1j * x[..., half : rotary.dims]
    pair = pair * np.exp(1j * positions[:, None] * frequency)[:, None, :]
    return np.concatenate([pair.real, pair.imag, x[..., rotary.dims :]], -1)


def _mlp(spec, p, x):
    def project(part, x):
        return x @ p[f"mlp.W_{part}"] + p.get(f"mlp.b_{part}", 0)

    hidden = _act(spec.activation, project("gate" if spec.gated else "in", x))
    return project("out", hidden * project("in", x) if spec.gated else hidden)


def _act(name, x):
    if name == "relu":
        return np.maximum(x, 0)
    if name == "silu":
        return x / (1 + np.exp(-x))
    if name == "gelu":
        return x * (1 + erf(x / np.sqrt(2))) / 2
    return x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2


def _cap(x, cap):
    return x if cap is None else cap * np.tanh(x / cap)
