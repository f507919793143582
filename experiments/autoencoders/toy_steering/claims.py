"""The claims of `toy_steering`, each held against what was measured."""

import numpy as np
from scipy.stats import spearmanr

from experiments.autoencoders.toy_steering.config import FOUND
from experiments.lab.claim import Claim, Source, less_than, more_than

WORK = "this lab"
OURS = "(our measurement)"


def claims(a: dict[str, np.ndarray]) -> list[Claim]:
    """Predicted and realised effects of steering agree, and a higher cosine means a smaller error."""
    found, own = a["cosine"] > FOUND, a["own_k"]
    predicted, where_open, overall = a["interference"]
    opens = np.isfinite(where_open)
    exact = _correlation(predicted[opens], where_open[opens])
    mean = _correlation(predicted, overall)
    passed = [np.abs(overall[s]).sum() / np.abs(predicted[s]).sum() for s in (predicted > 0, predicted < 0)]
    rank, rank_ablation = (
        float(spearmanr(a["cosine"], -a[name]).statistic) for name in ("error", "ablation_error")
    )
    error, random = _median(a["error"][own & found]), _median(a["random_error"][own])
    ideal = _median((a["selectivity"] / a["ideal_selectivity"])[own & found])
    chance, ablated = _median(a["random_selectivity"][own]), _median(a["ablation_error"][own & found])
    first = a["first"]
    return [
        Claim(
            WORK,
            "where the ReLU stays open the output moves by a W_k . d_j, on every feature: the prediction is exact (1e-5)",
            "theorem",
            f"largest deviation {a['linear_error'].max():.1e} of the largest prediction, over {len(found)} latents",
            less_than(a["linear_error"].max(), 1e-5), source=Source.IDENTITY,),
        Claim(
            WORK,
            f"steering a latent that is found (cosine > {FOUND}) moves its feature more than any other",
            OURS,
            f"{int(first[found].sum())} of {int(found.sum())} found; {int(first[~found].sum())} of {int((~found).sum())} others",
            bool(found.any() and first[found].all()),),
        Claim(
            WORK,
            "interference on the others is that of the geometry: predicted and realised correlate, exactly where open",
            "theorem where open; (our measurement) elsewhere",
            f"correlation {exact:.6f} where open, {mean:.2f} over all examples, in which the ReLUs let {passed[0]:.0%} of "
            f"the predicted rise through and {passed[1]:.0%} of the fall",
            (more_than(exact, 1 - 1e-6), more_than(mean, 0.5)),),
        Claim(
            WORK,
            "a latent with a higher cosine has less intervention error",
            OURS,
            f"rank correlation {rank:.3f} over {len(found)} latents, cosines {a['cosine'].min():.2f} to 1",
            more_than(rank, 0.9),),
        Claim(
            WORK,
            "a found latent is nearly the ideal feature steer, a random direction is worse than doing nothing",
            OURS,
            f"median error {error:.3f} against {random:.2f}; selectivity {ideal:.1%} of the ideal steer's, random "
            f"directions {chance:.1%} of all change",
            (less_than(error, 0.05), more_than(random, 1), more_than(ideal, 0.9)),),
        Claim(
            WORK,
            "the cosine says as much about ablating a latent: rank correlation with less ablation error > 0.9",
            OURS,
            f"{rank_ablation:.2f}; median error {ablated:.2f} even of found latents: "
            "ablating takes the right latent and the right activation",
            more_than(rank_ablation, 0.9),),
    ]  # fmt: skip


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1]) if len(a) > 1 else float("nan")


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else float("nan")
