"""Correlations of latents with coordinates, with one another and with another SAE's latents, in a stream."""

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

DENSE = 0.05  # share of nonzero entries from which a dense product is faster
NEIGHBOURS = 5


class Neighbours(NamedTuple):
    """For each latent (n, k), most similar first: `which`, -1 where nothing varies, and how similar.

    pearson: of the activations over all tokens. cosine: of the same, without the means taken away.
    """

    which: np.ndarray
    pearson: np.ndarray
    cosine: np.ndarray


class Sparse(NamedTuple):
    """Latents of a batch (n, d_sae), as they came and as their nonzero entries."""

    dense: np.ndarray
    row: np.ndarray
    column: np.ndarray
    value: np.ndarray

    @classmethod
    def of(cls, latents: Any) -> "Sparse":
        """A latent fires where it is above 0."""
        dense = np.asarray(latents)
        flat = np.flatnonzero(dense > 0)
        row, column = np.divmod(flat, dense.shape[1])
        return cls(dense, row, column, dense.ravel()[flat])

    def matrix(self) -> Any:
        """The entries above 0, as a scipy matrix where they are few and an array where they are many."""
        if len(self.value) > DENSE * self.dense.size:
            return np.maximum(self.dense, 0)
        starts = np.searchsorted(self.row, np.arange(len(self.dense) + 1))
        return scipy.sparse.csr_array((self.value, self.column, starts), shape=self.dense.shape)


class Pairs:
    """Sums over tokens of a (n, d_a) and b (n, d_b), and of their products; memory d_a d_b.

    centred: b is taken from the mean of its first batch. A coordinate of mean 1000 and deviation 1 leaves no digits
    of a product in float32.
    """

    def __init__(self, d_a: int, d_b: int, *, centred: bool = False) -> None:
        self.n, self.cross = 0, np.zeros((d_a, d_b))
        self.a, self.aa, self.b, self.bb = (np.zeros(d) for d in (d_a, d_a, d_b, d_b))
        self._shift: np.ndarray | None = None
        self._centred = centred

    def add(self, a: Any, b: Any) -> None:
        """A batch: scipy matrices or arrays."""
        if self._centred:
            if self._shift is None:
                self._shift = b.mean(0, dtype=np.float64).astype(np.float32)
            b = b - self._shift
        product = a.T @ b
        self.cross += product.toarray() if scipy.sparse.issparse(product) else product
        self.n += a.shape[0]
        for part, total, square in ((a, self.a, self.aa), (b, self.b, self.bb)):
            total += np.asarray(part.sum(0, dtype=np.float64)).reshape(-1)
            square += np.asarray((part * part).sum(0, dtype=np.float64)).reshape(-1)

    def similar(self, k: int = NEIGHBOURS, exclude: np.ndarray | None = None) -> Neighbours:
        """The k columns b of greatest Pearson correlation with each a; exclude (d_a,): a column that does not count."""
        k = min(k, len(self.b))
        index, pearson, cosine = (np.zeros((len(self.a), k), t) for t in (np.int64, float, float))
        shift = 0.0 if self._shift is None else self._shift.astype(np.float64)
        mean_b = self.b / self.n
        var_b, norm_b = self.bb / self.n - mean_b**2, self.bb + 2 * shift * self.b + self.n * shift**2
        for i, row in enumerate(self.cross):  # one row at a time: no second matrix
            mean = self.a[i] / self.n
            var = self.aa[i] / self.n - mean**2
            spread = np.sqrt(np.maximum(var * var_b, 0))
            flat = (var <= 1e-12 * self.aa[i] / self.n) | (var_b <= 1e-12 * norm_b / self.n)
            with np.errstate(invalid="ignore", divide="ignore"):
                r = np.where(flat, -np.inf, (row / self.n - mean * mean_b) / spread)
                c = np.where(flat, 0.0, (row + shift * self.a[i]) / np.sqrt(self.aa[i] * norm_b))
            if exclude is not None:
                r[exclude[i]] = -np.inf
            best = np.argpartition(-r, k - 1)[:k]
            best = best[np.lexsort((best, -r[best]))]
            known = np.isfinite(r[best])
            index[i], pearson[i] = np.where(known, best, -1), np.where(known, np.clip(r[best], -1, 1), 0)
            cosine[i] = np.where(known, np.clip(c[best], -1, 1), 0)
        return Neighbours(index, pearson, cosine)
