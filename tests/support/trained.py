"""Recipes of small runs that the tests of trained models share."""

import numpy as np

import superposition as sp

TOY = sp.ToyRun(
    sp.ReLUOutput(6, 2), sp.SparseUniform(density=0.2), importance_base=0.8, steps=40, batch_size=32
)
X = np.random.default_rng(0).normal(size=(400, 5)).astype(np.float32)
SAE = sp.SAERun(sp.TopK(d_sae=8, k=2), X, steps=30, batch_size=32)
