"""The claims of `asymmetric_motif`, each held against what was measured."""

import numpy as np
from scipy import stats

from experiments.lab.claim import Claim, Source, less_than, more_than
from experiments.toy_models.asymmetric_motif.config import Config
from experiments.toy_models.asymmetric_motif.draw import Circuit
from superposition.geometry.motif import Motif
from superposition.typing import ComputationParams


def share_interval(share: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval."""
    found = stats.binomtest(round(share * count), count).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def found_at_arena_claim(config: Config, share: np.ndarray, arena: float) -> Claim:
    """Six seeds at ARENA's density are enough to meet the motif."""
    ours = float(share[config.densities.index(config.arena_density)])
    six = [1 - (1 - s) ** 6 for s in (ours, arena)]
    parts = [
        f"{name}: {100 * s:.1f} % of seeds (95 % interval {100 * low:.1f} to {100 * high:.1f}), so in six seeds "
        f"{100 * p:.0f} %"
        for name, s, (low, high), p in (
            ("open start", ours, share_interval(ours, config.seeds), six[0]),
            ("random start", arena, share_interval(arena, config.seeds), six[1]),
        )
    ]
    return Claim(
        "F19",
        f"six seeds at 1-S = {config.arena_density:g} are enough to meet the motif (ARENA's settings)",
        "found by eye among 6 seeds",
        "; ".join(parts),
        more_than(max(six), 0.5),
        source=Source.READING,
    )


def found_often_claim(config: Config, arrays: dict[str, np.ndarray]) -> Claim:
    """Sparse models build the motif far more often than shuffled weights contain it."""
    share, interval, chance = arrays["share"], arrays["interval"], arrays["chance"]
    sparse = np.array(config.densities) <= 0.2
    return Claim(
        "F19",
        "models build the motif: at 1-S <= 0.2 in most seeds, and far more often than the same weights shuffled",
        "it occurs",
        "; ".join(
            f"{p:g}: {100 * s:.1f} % ({100 * a:.0f} to {100 * b:.0f}), shuffled {100 * c:.1f} %"
            for p, s, (a, b), c in zip(config.densities, share, interval, chance, strict=True)
        ),
        bool((interval[sparse, 0] > 0.5).all() and (interval[sparse, 0] > 2 * chance[sparse]).all()),
        source=Source.READING,
    )


def weights_claim(
    config: Config, drawn: Circuit, cleanest: Motif, density: float, numbers: np.ndarray
) -> Claim:
    """The weights of the motifs are near the paper's."""
    read, write = drawn.read[0], drawn.write[:, 0]
    off = np.abs(np.array([*read, *write]) / (2, -0.5, 0.5, 2) - 1).max()
    ratios = np.median(numbers[:, :2], 0)
    return Claim(
        "F19",
        "the shared neuron reads [2, -1/2] and writes [1/2, 2] (the cleanest within 10 %; median ratios within 25 % of 4)",
        "[2, -1/2] and [1/2, 2]",
        f"[{read[0]:.2f}, {read[1]:.2f}] and [{write[0]:.2f}, {write[1]:.2f}] at 1-S = {density:g}, inhibition "
        f"{cleanest.inhibition:.2f} of the interference; median ratios of {len(numbers)} motifs "
        f"{ratios[0]:.2f} and {ratios[1]:.2f}",
        (less_than(off, 0.1), bool((np.abs(ratios / 4 - 1) < 0.25).all())),
        source=Source.PAPER,
    )


def function_claim(config: Config, cuts: np.ndarray, which: int) -> Claim:
    """Cutting the inhibitory weight raises the error that it is there to cancel."""
    whole, cut, error, off_whole, off_cut, _ = cuts[which]
    rise = cuts[:, 1] / cuts[:, 0]
    return Claim(
        "F19",
        "the inhibitory weight cancels the interference of the strongly read feature on the other's output: cut, the "
        "squared error there more than doubles where that feature turns the neuron on",
        "an inhibitory neuron",
        f"cleanest: {whole:.4f} to {cut:.4f} (s.e. of the rise {error:.4f}), for the other sign of the feature "
        f"{off_whole:.4f} to {off_cut:.4f}; median over {len(cuts)} models x {np.median(rise):.1f}, "
        f"in {100 * np.mean(rise > 2):.0f} % more than doubled",
        (more_than(cut, 2 * whole), more_than(cut - whole, 10 * error), more_than(np.median(rise), 2)),
        source=Source.PAPER,
    )


def other_way_claim(
    config: Config, params: ComputationParams, where: list[tuple[float, int, int, Motif]]
) -> Claim:
    """The small interference seldom has an inhibitor of its own."""
    taken = []
    for _, k, seed, found in where:
        W_in, W_out = params.W_in[k, seed], params.W_out[k, seed]
        together = W_in[:, found.weak] * np.sign(W_in[found.neuron, found.weak])
        back = np.where(together > 0, -together * W_out[found.strong], 0.0)
        back[found.neuron] = 0
        small = abs(W_in[found.neuron, found.weak]) * W_out[found.strong, found.neuron]
        taken.append(back.max() > 0.5 * small)
    return Claim(
        "this lab",
        "the inhibition is one-sided: the small interference, 1/4, of the weakly read feature on the strong one's output "
        "has an inhibitor of its own in fewer than half of the motifs",
        "not stated",
        f"in {100 * np.mean(taken):.0f} % of {len(taken)} (the nearest motif of every model that has one)",
        less_than(np.mean(taken), 0.5),
    )
