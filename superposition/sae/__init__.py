"""Sparse autoencoders. A new architecture is one file and one line here."""

from superposition.sae._base import SAE
from superposition.sae._parts import Info, Params, State
from superposition.sae.abstopk import AbsTopK
from superposition.sae.baselines import PCA, Identity, Random
from superposition.sae.batch_topk import BatchTopK
from superposition.sae.bricken import Bricken
from superposition.sae.gated import Gated
from superposition.sae.jumprelu import JumpReLU
from superposition.sae.matching_pursuit import MatchingPursuit
from superposition.sae.matryoshka import Matryoshka
from superposition.sae.relu import ReLU
from superposition.sae.topk import TopK

# Every architecture by the name that commands and files give it.
ARCHITECTURES: dict[str, type[SAE]] = {
    "relu": ReLU,
    "bricken": Bricken,
    "gated": Gated,
    "topk": TopK,
    "abstopk": AbsTopK,
    "batch-topk": BatchTopK,
    "jumprelu": JumpReLU,
    "matryoshka": Matryoshka,
    "matching-pursuit": MatchingPursuit,
    "pca": PCA,
    "identity": Identity,
    "random": Random,
}
BASELINES = ("pca", "identity", "random")  # of these, what is never trained

__all__ = [
    "ARCHITECTURES",
    "BASELINES",
    "PCA",
    "SAE",
    "AbsTopK",
    "BatchTopK",
    "Bricken",
    "Gated",
    "Identity",
    "Info",
    "JumpReLU",
    "MatchingPursuit",
    "Matryoshka",
    "Params",
    "Random",
    "ReLU",
    "State",
    "TopK",
]
