"""The asymmetric superposition motif: how one neuron serves two features of a model that computes.

Elhage et al. 2022, "The asymmetric superposition motif": one neuron reads two features with weights [2, -1/2] and
writes to their outputs with [1/2, 2]. Each feature then has an effect of 1 on its own output. The interference is
lopsided, 1/2 x 1/2 = 1/4 one way and 2 x 2 = 4 the other, and a second neuron, which the strongly read feature turns
on as well, has a negative weight to the output that takes the 4 and cancels it. So inhibition acts where x_strong
is active, on the output of the other feature: the 1/4 needs none, and a neuron driven by the other feature could not
tell when to act.
"""

from typing import Any, NamedTuple

import numpy as np

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.geometry.matrix import MODEL, finite


class Motif(NamedTuple):
    """One motif of a model: `neuron` shared by the features `strong` and `weak` (as inputs), and its `inhibitor`.

    With u = |W_in| of the neuron at the two features and v = W_out from it: input_ratio u_strong / u_weak (the
    paper's 4), output_ratio v_weak / v_strong (4), strong_effect u_strong v_strong (1), weak_effect u_weak v_weak (1),
    interference u_strong v_weak (4), that of x_strong on the output of `weak`; and the share of that which the
    inhibitor takes back, inhibition (1).

    >>> from superposition import geometry
    >>> W_in, W_out = [[2.0, -0.5], [1.0, 0.0]], [[0.5, 0.0], [2.0, -4.0]]
    >>> geometry.motifs(W_in, W_out)[0].distance
    0.0
    """

    neuron: int
    inhibitor: int
    strong: int
    weak: int
    input_ratio: float
    output_ratio: float
    strong_effect: float
    weak_effect: float
    interference: float
    inhibition: float

    @property
    def distance(self) -> float:
        """Sum |log2(number / the paper's)| over the two ratios, the two effects and the inhibition."""
        ours = (self.input_ratio, self.output_ratio, self.strong_effect, self.weak_effect, self.inhibition)
        return float(np.abs(np.log2(np.divide(ours, (4, 4, 1, 1, 1)))).sum())


def motifs(
    W_in: Any, W_out: Any, *, ratio: float = 2.0, effect: float = 0.25, inhibition: float = 0.5
) -> list[Motif]:
    """Every asymmetric motif of y = f(W_out ReLU(W_in x) + b), nearest to the paper's first.

    W_in (n_hidden, n_features), W_out (n_features, n_hidden). A neuron k and features i, j are one if

    - |W_in_ki| > ratio |W_in_kj| and W_out_jk > ratio W_out_ik (the asymmetry);
    - |W_in_ki| W_out_ik > effect and |W_in_kj| W_out_jk > effect (it serves both outputs);
    - another neuron l that x_i turns on together with k, W_in_li W_in_ki > 0, has W_out_jl < 0 with
      -W_in_li W_out_jl > inhibition W_in_ki W_out_jk (of several, the strongest is named).

    Nothing depends on the scale of a neuron (W_in row times c, W_out column over c), nor on the sign of a feature.
    Raises ConfigError for shapes that do not fit, weights that are not finite, and ratio < 1, effect or inhibition < 0.

    >>> from superposition import geometry
    >>> W_in, W_out = [[2.0, -0.5], [1.0, 0.0]], [[0.5, 0.0], [2.0, -4.0]]  # the paper's, with an inhibitor as neuron 1
    >>> (motif,) = geometry.motifs(W_in, W_out)
    >>> motif.neuron, motif.inhibitor, motif.strong, motif.weak, motif.input_ratio
    (0, 1, 0, 1, 4.0)
    """
    read = finite("W_in", W_in, MODEL, 2)
    write = finite("W_out", W_out, "(n_features, n_hidden), one model at a time", 2)
    if read.size == 0 or write.shape != read.shape[::-1]:
        raise ConfigError(
            "W_in must be (n_hidden, n_features), W_out (n_features, n_hidden), not empty; got shapes "
            f"{read.shape} and {write.shape}"
        )
    ratio = validate.one_in_range("ratio", ratio, 1.0, np.inf)
    effect = validate.one_in_range("effect", effect, 0.0, np.inf)
    inhibition = validate.one_in_range("inhibition", inhibition, 0.0, np.inf)
    with np.errstate(over="ignore", invalid="ignore"):
        return _motifs(read, write, ratio, effect, inhibition)


def _motifs(
    read: np.ndarray, write: np.ndarray, ratio: float, effect: float, inhibition: float
) -> list[Motif]:
    u, v = np.abs(read), write.T  # (neuron, feature), both
    effects = u * v
    asymmetric = (u[:, :, None] > ratio * u[:, None, :]) & (v[:, None, :] > ratio * v[:, :, None])
    serves = (effects > effect)[:, :, None] & (effects > effect)[:, None, :]
    result = []
    for k, i, j in np.argwhere(asymmetric & serves):
        together = read[:, i] * np.sign(read[k, i])
        back = np.where(together > 0, -together * v[:, j], 0.0)
        back[k] = 0.0
        inhibitor, interference = int(back.argmax()), u[k, i] * v[k, j]
        if back[inhibitor] > inhibition * interference and back[inhibitor] > 0:
            numbers = (
                u[k, i] / u[k, j],
                v[k, j] / v[k, i],
                effects[k, i],
                effects[k, j],
                interference,
                back[inhibitor] / interference,
            )
            result.append(Motif(int(k), inhibitor, int(i), int(j), *map(float, numbers)))
    return sorted(result, key=lambda motif: motif.distance)
