"""A map of decoder directions: likes beside likes, in two dimensions."""

import numpy as np

AT_MOST = 8192  # t-SNE takes minutes beyond
AT_LEAST = 10
NEAREST = 5
CELLS = 2**25


def positions(directions: np.ndarray, weight: np.ndarray, seed: int = 0) -> np.ndarray:
    """Coordinates (n, 2) in [-1, 1] of directions (n, d): t-SNE on cosine distances, begun at the principal components.

    Below AT_LEAST directions the principal components themselves. Above AT_MOST those of greatest weight (n,) are
    placed, and each of the others at the mean of its NEAREST among them, by cosine.
    """
    norms = np.linalg.norm(directions, axis=1, keepdims=True)
    unit = directions / np.where(norms > 0, norms, 1)
    n = len(unit)
    if n < AT_LEAST:
        return _scaled(_principal(unit))
    order = np.argsort(-weight, kind="stable")
    first, rest = order[:AT_MOST], order[AT_MOST:]
    placed = np.zeros((n, 2))
    placed[first] = _scaled(_tsne(unit[first], seed))
    step = max(1, CELLS // AT_MOST)
    for a in range(0, len(rest), step):
        some = rest[a : a + step]
        cosine = unit[some] @ unit[first].T
        near = np.argpartition(-cosine, NEAREST, axis=1)[:, :NEAREST]
        share = np.maximum(np.take_along_axis(cosine, near, 1), 1e-6)
        placed[some] = (placed[first][near] * share[..., None]).sum(1) / share.sum(1, keepdims=True)
    return placed


def _principal(x: np.ndarray) -> np.ndarray:
    """The two principal components, the sign of each such that its largest entry is positive."""
    centred = x - x.mean(0, dtype=np.float64)
    if len(x) < x.shape[1]:  # of the two Gram matrices the smaller one
        values, vectors = np.linalg.eigh(centred @ centred.T)
        scores = vectors * np.sqrt(np.maximum(values, 0))
    else:
        scores = centred @ np.linalg.eigh(centred.T @ centred)[1]
    scores = scores[:, :-3:-1]
    scores = np.pad(scores, ((0, 0), (0, 2 - scores.shape[1])))
    return scores * np.where(scores[np.abs(scores).argmax(0), [0, 1]] < 0, -1, 1)


def _tsne(unit: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE  # type: ignore[import-untyped]
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # scikit-learn has it

    start = _principal(unit)
    start *= 1e-4 / max(
        start[:, 0].std(), 1e-30
    )  # as sklearn's own init="pca", which takes no random signs here
    perplexity = min(30.0, (len(unit) - 1) / 3)
    model = TSNE(metric="cosine", init=start.astype(np.float32), perplexity=perplexity, random_state=seed)
    with threadpool_limits(
        1, "openmp"
    ):  # the same map whatever the cores; waiting threads spin where others work
        return np.asarray(model.fit_transform(unit), np.float64)


def _scaled(at: np.ndarray) -> np.ndarray:
    at = at - (at.max(0) + at.min(0)) / 2
    return at / max(np.abs(at).max(), 1e-30)
