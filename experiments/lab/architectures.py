"""SAE architectures as the experiments write their names and train them in short runs."""

from typing import Any

from superposition.training import Controller

NAMES = {"matryoshka": "Matryoshka", "batch-topk": "BatchTopK", "topk": "TopK", "jumprelu": "JumpReLU",
         "gated": "Gated", "relu": "ReLU + L1", "bricken": "Bricken", "matching-pursuit": "Matching pursuit"}  # fmt: skip
# In a short run thresholds and the controller have to move faster than their defaults, made for a long one.
JUMPRELU: dict[str, Any] = {"penalty": 1.5, "threshold": 1.0, "bandwidth": 2.0}
CONTROLLER = Controller(rate=0.006, window=25.0, lookahead=8.0)
