"""The claims of `phase_without_bias`, each held against what was measured."""

import jax
import numpy as np

from experiments.lab.claim import Claim, Source, less_than, more_than
from experiments.toy_models.phase_without_bias.config import Config
from superposition import ToyParams, theory
from superposition.expected_loss import reference_loss
from superposition.theory import no_bias

SOURCE = "Elhage 2022, comments"
ABSENT, ALONE, ANTIPODAL, CONFUSED = range(4)


def classify(W: np.ndarray) -> np.ndarray:
    """Phase of every W (..., 2) by its norms and signs."""
    first, extra = np.abs(W[..., 0]) >= 0.5, np.abs(W[..., 1]) >= 0.5
    shared = np.where(W[..., 0] * W[..., 1] < 0, ANTIPODAL, CONFUSED)
    return np.where(~extra, ABSENT, np.where(~first, ALONE, shared))


def solved_claim(config: Config, loss: np.ndarray, scan: np.ndarray) -> Claim:
    """The closed form of the loss and of its minimum is right."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for _ in range(config.checks):
        W, r, p = rng.normal(size=2), 10 ** rng.uniform(-1, 1), 10 ** rng.uniform(-2, 0)
        exact = reference_loss(ToyParams(W[None], np.zeros(2)), np.array([1, r]), p, activation="relu")  # type: ignore[arg-type]
        worst = max(worst, abs(float(no_bias.no_bias_loss(W[0], W[1], r, p)) / exact - 1))
    beaten = float((scan / loss - 1).min())
    return Claim(
        SOURCE,
        "the expected loss of n=2, m=1 without bias, and its minimum, can be had exactly",
        "exactly solvable",
        f"closed form against enumeration at {config.checks} random models: at most {worst:.0e} apart; {config.angles} "
        f"directions in each of {loss.size} cells never get below the solved minimum (closest: {beaten:+.0e})",
        (less_than(worst, 1e-12), more_than(beaten, -1e-12)),
        source=Source.IDENTITY,
    )


def confused_claims(arrays: dict[str, np.ndarray]) -> list[Claim]:
    """Where the minimum is one confused feature."""
    r, p = arrays["relative_importance"], arrays["density"]
    example = no_bias.no_bias_minimum(0.8, 0.9)
    confused = classify(arrays["W"]) == CONFUSED
    # Rows run from dense to sparse: wherever it is confused, it is so at every greater density.
    upward = bool((confused[1:] <= confused[:-1]).all())
    rows, columns = np.nonzero(confused)
    found = len(rows) > 0
    factor = max(r[columns.max()], 1 / r[columns.min()]) if found else np.inf
    where = (
        f"{100 * confused.mean():.1f} % of cells, all with 1-S >= {p[rows.max()]:.2f} and importances within a factor "
        f"{factor:.2f}"
        if found
        else "no cell"
    )
    return [
        Claim(
            SOURCE,
            "at S = 0.1 and importance 0.8 the minimum is a confused feature, W_1 and W_2 alike",
            "W_1 = W_2, about",
            f"W = ({example.W[0]:.3f}, {example.W[1]:.3f}), loss {example.loss:.5f}; the best antipodal pair has "
            f"{example.opposite_sign:.5f}",
            int(classify(example.W)) == CONFUSED,
            source=Source.PAPER,
        ),
        Claim(
            SOURCE,
            "the confused phase lies where sparsity is low (S < 1/2) and both features matter (within a factor of 10)",
            "low sparsity, both important",
            f"{where}; at every importance it is one interval, up to density 1: {'yes' if upward else 'no'}",
            (found, upward, more_than(p[rows.max()], 0.5), less_than(factor, 9.9)),
            source=Source.PAPER,
        ),
    ]


def border_claims(arrays: dict[str, np.ndarray]) -> list[Claim]:
    """How the minimum changes at the border of the antipodal phase."""
    r, border = arrays["border_r"], arrays["border"]
    above, below = arrays["W_above"], arrays["W_below"]
    jump = np.abs(above - below).max(1)
    confused = classify(above) == CONFUSED
    middle = float(no_bias.antipodal_boundary(1.0))
    least = int(jump.argmin())
    slight = np.abs(above).min(1)
    return [
        Claim(
            "this lab",
            "at equal importance the antipodal pair takes over at density 4 (10 - sqrt 14) / 43",
            "not asked",
            f"the minima of either sign cross at 1-S = {middle:.9f}; the formula gives {no_bias.ANTIPODAL_BELOW:.9f} "
            f"(the paper's candidates: 4/7 = {4 / 7:.4f})",
            less_than(abs(middle - no_bias.ANTIPODAL_BELOW), 1e-9),
        ),
        Claim(
            SOURCE,
            "from confused to antipodal the minimum jumps",
            "discontinuous",
            f"on {int(confused.sum())} of {len(r)} columns the border parts confused from antipodal; the weight that "
            f"changes sign moves by {jump[confused].min() if confused.any() else 0:.2f} or more",
            bool(confused.any() and jump[confused].min() > 0.1),
            source=Source.PAPER,
        ),
        Claim(
            SOURCE,
            "from a feature hardly represented to the antipodal pair the minimum moves smoothly as S grows",
            "continuous; it explains the blur about the triple point",
            f"the minimum jumps on every column; least at r = {r[least]:.2f}, 1-S = {border[least]:.3f}, from "
            f"W = ({above[least, 0]:.2f}, {above[least, 1]:.3f}) to ({below[least, 0]:.2f}, {below[least, 1]:.2f})",
            less_than(jump.min(), 0.1),
            source=Source.PAPER,
        ),
        Claim(
            SOURCE,
            "a feature of low importance keeps a low weight, not zero; the blur is on the dense side of the jump",
            "low but nonzero W_2",
            f"just above the border the lesser weight is {slight.min():.3f} at r = {r[int(slight.argmin())]:.2f} and grows "
            f"to {slight.max():.2f} at r = 1; it is above 0 in every cell (least {np.abs(arrays['W']).min():.0e})",
            more_than(np.abs(arrays["W"]).min(), 0),
            source=Source.RESTATED,
            restates="from a feature hardly represented",
        ),
    ]


def blur_claim(config: Config) -> Claim:
    """How W_2 leaves zero with a bias, at importance 0.9, as density falls from 1 to 1/2."""
    r, p = 0.9, np.linspace(1, 0.5, 51)
    importance = np.tile([[1.0, r]], (len(p), 1))
    found = theory.exact_minimum("relu", importance, p, 1, key=jax.random.key(0), restarts=config.restarts)
    extra = found.W[:, 0, 1] * np.sign(found.W[:, 0, 0])
    last = int(np.abs(np.diff(extra)).argmax())
    jump = abs(extra[last + 1] - extra[last])
    begins = p[int(np.argmax(np.abs(extra) > 0.01))]
    return Claim(
        "this lab",
        f"with a bias, beside the triple point (r = {r:g}), most of the way to the pair is continuous: the blur",
        "not asked",
        f"W_2 leaves 0 at 1-S = {begins:.2f}, falls smoothly to {extra[last]:.2f} at {p[last]:.2f}, then jumps by {jump:.2f}",
        more_than(abs(extra[last]), jump),
    )


def two_minima_claim(arrays: dict[str, np.ndarray]) -> Claim:
    """Some points of the diagram have two minima."""
    counts = arrays["minima"]
    two = counts == 2
    return Claim(
        SOURCE,
        "some sparsities and importances give two minima (W and -W being one)",
        "two minima",
        f"two in {100 * two.mean():.0f} % of cells, one in {100 * (counts == 1).mean():.0f} %, more in "
        f"{100 * (counts > 2).mean():.0f} %",
        bool(two.any()),
        source=Source.PAPER,
    )


def basins_claim(config: Config) -> Claim:
    """Share of descents from small and large random W that end antipodal, where that is the better by 2 % of p."""
    r = np.array([0.1, 0.2, 0.5, 0.9])
    p = 0.98 * no_bias.antipodal_boundary(r)
    scales = np.array([1, 0.3, 0.05])
    W = np.random.default_rng(0).normal(size=(2, config.starts, 1, 1)) * scales[:, None] * np.ones_like(r)
    move, h = 0.02, 1e-5
    stencil = np.array([[h, -h, 0, 0], [0, 0, h, -h]]).reshape(2, 4, 1, 1, 1)
    for _ in range(config.descent_steps):
        near = W[:, None] + stencil
        at = no_bias.no_bias_loss(near[0], near[1], r, p) / p
        slope = np.stack([at[0] - at[1], at[2] - at[3]]) / (2 * h)
        # Steps of bounded length along the gradient: the path, and so the basin, is that of gradient flow.
        W = W - move * slope / (0.05 + np.sqrt((slope**2).sum(0)))
    share = 100 * (W[0] * W[1] < 0).mean(0)
    parts = [
        f"{row.min():.0f} to {row.max():.0f} % from W ~ N(0, {s:g}^2)"
        for s, row in zip(scales, share, strict=True)
    ]
    return Claim(
        SOURCE,
        "near a phase transition the global minimum can have a considerably smaller basin than a local one (under 1/3)",
        "considerably smaller",
        f"antipodal pairs, best at 2 % below the border density, are reached by {', '.join(parts)} ({len(r)} importances, "
        f"{config.starts} descents each): descents from near 0 begin with both weights of one sign",
        less_than(share.min(), 100 / 3),
        source=Source.READING,
    )


def bias_claims(arrays: dict[str, np.ndarray]) -> list[Claim]:
    """What a bias changes in the diagram."""
    r, p = arrays["relative_importance"], arrays["density"]
    without, having = classify(arrays["W"]), classify(arrays["W_with_bias"])
    saved = 1 - arrays["loss_with_bias"] / arrays["loss"]
    where = np.unravel_index(saved.argmax(), saved.shape)
    changed = without != having
    antipodal = [float((c == ANTIPODAL).mean()) for c in (without, having)]
    was_confused = without == CONFUSED
    kept = float((having == CONFUSED)[was_confused].mean()) if was_confused.any() else 0.0
    now = np.bincount(having[was_confused], minlength=4) / max(1, was_confused.sum())
    return [
        Claim(
            "this lab",
            "a bias removes the confused phase",
            "not asked",
            f"{100 * (having == CONFUSED).mean():.1f} % of cells confused with a bias, {100 * was_confused.mean():.1f} % "
            f"without; of the latter, with a bias {100 * now[ABSENT]:.0f} % drop the extra feature, "
            f"{100 * now[ALONE]:.0f} % the other, {100 * now[ANTIPODAL]:.0f} % are antipodal",
            kept == 0 and not bool((having == CONFUSED).any()),
        ),
        Claim(
            "this lab",
            "the bias hardly moves the phases elsewhere, but pays where features are dense",
            "not asked",
            f"phase changed in {100 * changed.mean():.1f} % of cells (antipodal {100 * antipodal[0]:.1f} % without, "
            f"{100 * antipodal[1]:.1f} % with); loss saved: {100 * saved[p < 0.1].max():.2f} % at most below density 0.1, "
            f"up to {100 * saved[where]:.0f} % (r = {r[where[1]]:.2f}, 1-S = {p[where[0]]:.2f})",
            (bool((saved > -1e-9).all()), less_than(saved[p < 0.1].max(), saved[p > 0.5].min())),
        ),
    ]
