"""Neurons made from the codes of their features."""

import numpy as np


def from_codes(words, m, n, off=-0.6):
    """W whose feature i is 1 / sqrt(k) on its k neurons, and `off` elsewhere; features without a word are 0."""
    W = np.zeros((m, n))
    for i, word in enumerate(words):
        W[:, i] = off
        W[list(word), i] = len(word) ** -0.5
    return W


BINARY = [(0,), (1,), (2,), (3,), (4,), (3, 4)]
