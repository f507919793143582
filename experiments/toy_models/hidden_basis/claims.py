"""The claims of `hidden_basis`, each held against what was measured."""

import numpy as np

from experiments.lab.claim import Claim, Source, between, more_than
from experiments.lab.seeds import above, half_interval
from experiments.toy_models.hidden_basis.config import Config


def judge(config: Config, arrays: dict[str, np.ndarray]) -> list[Claim]:
    """Aligned with neurons where there are some, as after any turn where there are none."""
    (linear, neurons), turned = arrays["alignment"], arrays["turned"]
    error = half_interval(linear - turned)
    off = (linear - turned).mean(1)
    worst = int(np.abs(off).argmax())
    said = "; ".join(
        f"1-S = {p:g}: linear {a:.3f} (turned {t:.3f}), ReLU {b:.3f}"
        for p, a, t, b in zip(config.densities, linear.mean(1), turned.mean(1), neurons.mean(1), strict=True)
    )
    return [
        Claim(
            "F17",
            "a ReLU in the hidden layer makes the basis privileged: features lie along neurons more than along the units of a "
            "linear layer, at every density",
            "features align with the neurons; without the ReLU they do not",
            said,
            [above(b, a) for a, b in zip(linear, neurons, strict=True)],
            source=Source.PAPER,
        ),
        Claim(
            "F17",
            f"so they do where features are dense (1-S = {config.densities[0]:g})",
            "features align with the neurons; without the ReLU they do not",
            f"{neurons[0].mean():.4f} +- {half_interval(neurons[0]):.4f} against {linear[0].mean():.3f}",
            above(neurons[0], linear[0]),
            source=Source.RESTATED,
            restates="a ReLU in the hidden layer makes the basis privileged",
        ),
        Claim(
            "F17",
            f"at 1-S = {config.densities[0]:g} each feature that is represented has a neuron: share over 0.99",
            "each feature corresponds to one neuron",
            f"{neurons[0].mean():.4f} +- {half_interval(neurons[0]):.4f}, least of a seed {neurons[0].min():.3f}",
            more_than(neurons[0].mean(), 0.99, half_interval(neurons[0])),
            source=Source.READING,
        ),
        Claim(
            "this lab",
            "a linear hidden layer has no privileged basis: its features lie along units as after a random turn (within 0.05)",
            "no turn changes its loss",
            f"difference {off[worst]:+.3f} +- {error[worst]:.3f} at 1-S = {config.densities[worst]:g}",
            between(off[worst], -0.05, 0.05, error[worst]),
        ),
    ]
