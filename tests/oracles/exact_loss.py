"""Independent references for the expected loss of a toy model: exact rational arithmetic, and plain sampling.

Nothing here is shared with the library. `rational_losses` sums over active sets and cube vertices in
`fractions.Fraction`, so it has no rounding and no cancellation: it is the truth for the given
floating-point inputs, at cost n 3^n.
"""

import itertools
import math
from fractions import Fraction

import numpy as np


def _positive_moment(b, slopes, power):
    """E (b + sum_j a_j u_j)_+^power, u_j uniform on [0, 1], a_j non-zero, by the vertex formula, exactly."""
    total = Fraction(0)
    for vertex in itertools.product((0, 1), repeat=len(slopes)):
        z = b + sum((a for a, v in zip(slopes, vertex, strict=True) if v), Fraction(0))
        if z > 0:
            total += (-1) ** (len(slopes) - sum(vertex)) * z ** (power + len(slopes))
    return (
        total
        * math.factorial(power)
        / (math.factorial(power + len(slopes)) * math.prod(slopes, start=Fraction(1)))
    )


def rational_losses(W, b, density, *, signed=False):
    """E (x_i - relu(W^T W x + b)_i)^2 for every i, as floats rounded once from the exact rational value."""
    W = [[Fraction(float(w)) for w in row] for row in np.asarray(W)]
    n = len(W[0])
    b = [Fraction(float(v)) for v in np.asarray(b)]
    p = [Fraction(float(v)) for v in np.broadcast_to(density, n)]
    losses = []
    for i in range(n):
        a = [sum((row[i] * row[j] for row in W), Fraction(0)) for j in range(n)]
        total = Fraction(0)
        for active in itertools.product((False, True), repeat=n):
            weight = math.prod((p[j] if active[j] else 1 - p[j] for j in range(n)), start=Fraction(1))
            if weight:
                total += weight * _active_loss(i, b[i], a, [j for j in range(n) if active[j]], signed)
        losses.append(float(total))
    return np.array(losses)


def _active_loss(i, b, a, active, signed):
    # Signed: x = 2 u - 1, that is, slope 2 a and intercept b - a for each active feature.
    step, start = (2, -1) if signed else (1, 0)
    shifted = b + sum((start * a[j] for j in active), Fraction(0))
    others = [step * a[j] for j in active if j != i and a[j]]
    own = step * a[i]
    if i not in active:
        return _positive_moment(shifted, others, 2)
    if own:
        square = _positive_moment(shifted, [*others, own], 2)
        mean = _positive_moment(shifted, [*others, own], 1)
        tilted = (_positive_moment(shifted + own, others, 2) - square) / (2 * own)
    else:
        square = _positive_moment(shifted, others, 2)
        mean = _positive_moment(shifted, others, 1)
        tilted = mean / 2
    return Fraction(1, 3) - 2 * (start * mean + step * tilted) + square


def sampled_loss(W, b, importance, density, *, samples, seed, signed=False):
    """Monte Carlo estimate of sum_i I_i E (x_i - x'_i)^2 and its standard error.

    Samples are conditioned on at least one active feature and the all-zero term is added exactly; at
    density 0.001 nearly every plain sample is zero and the comparison would have no power.
    """
    generator = np.random.default_rng(seed)
    n = W.shape[1]
    p = np.broadcast_to(np.asarray(density, float), n)
    all_zero = np.prod(1 - p)
    first_law = p * np.concatenate([[1.0], np.cumprod(1 - p)[:-1]])
    first = generator.choice(n, size=samples, p=first_law / first_law.sum())
    index = np.arange(n)[None]
    mask = (generator.random((samples, n)) < p) & (index > first[:, None]) | (index == first[:, None])
    x = mask * generator.uniform(-1.0 if signed else 0.0, 1.0, (samples, n))
    squared = ((x - np.maximum(x @ (W.T @ W) + b, 0)) ** 2) @ importance
    zero_loss = np.maximum(b, 0) ** 2 @ importance
    scale = 1 - all_zero
    return all_zero * zero_loss + scale * squared.mean(), scale * squared.std(ddof=1) / math.sqrt(samples)
