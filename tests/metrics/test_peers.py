"""Our definitions against SAELens's own functions, where it is installed."""

import numpy as np
import pytest

from superposition import metrics
from tests.oracles.peers import peer

pytestmark = pytest.mark.peers


@pytest.fixture(scope="module")
def evals():
    return peer("sae_lens.synthetic.evals")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("d_sae", "n_features"), [(12, 20), (20, 12), (15, 15)])
def test_definitions_agree_with_saelens(evals, seed, d_sae, n_features):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    D = rng.normal(size=(n_features, 8))
    W = rng.normal(size=(d_sae, 8)) + 2 * D[rng.integers(0, n_features, d_sae)]
    c = rng.uniform(0.5, 1, (400, n_features)) * (rng.uniform(size=(400, n_features)) < 0.2)
    latents = np.maximum(c @ D @ W.T - 2, 0)
    latents[:, 0] = 0
    x, x_hat = c @ D + 3, latents @ W / 40
    as_torch = [torch.as_tensor(v, dtype=torch.float64) for v in (latents, c, W, D)]

    assert metrics.mcc(W, D) == pytest.approx(evals.mean_correlation_coefficient(*as_torch[2:]), rel=1e-6)
    assert metrics.uniqueness(W, D) == evals.feature_uniqueness(*as_torch[2:])
    theirs = evals.compute_classification_metrics(*as_torch)
    ours = metrics.classify(latents, c, W, D)
    for mine, name in zip(ours[:4], ("precision", "recall", "f1_score", "accuracy"), strict=True):
        assert mine == pytest.approx(getattr(theirs, name), rel=1e-5)

    variance = evals.ExplainedVarianceCalculator()
    shrinkage = evals.ShrinkageCalculator()
    for calculator in (variance, shrinkage):
        calculator.add_batch(torch.as_tensor(x_hat), torch.as_tensor(x))
    assert metrics.explained_variance(x, x_hat) == pytest.approx(variance.compute(), rel=1e-4)
    assert metrics.relative_norm(x, x_hat) == pytest.approx(shrinkage.compute(), rel=1e-5)
