"""What the frequency sweep has to show, with its bars: written before any of its models or autoencoders was measured.

The lecture says that there are features for Arabic and Hebrew, that no single neuron fires on all such text, and that the
strongest examples of neurons that do fire on it hold none of it. Toy models predict when: what is common gets dimensions of
its own, what is rare shares them (Elhage et al. 2022). So it has to hold where a script is rare, and fail where it is common.

Everything is measured on works that neither model nor autoencoder read; units are chosen on one half of the documents and
judged on the other. A token's label is the script of the character that it completes; characters of Unicode's Common and
Inherited, and tokens that complete none, are left out. Average precision (AP) weighs tokens so that other text has the
shares of the training text and the script 0.3 %, whatever the model's own share.
"""

from typing import NamedTuple


class Bar(NamedTuple):
    """A claim: to which models it applies, the sentence, and the number that decides."""

    name: str
    applies: str
    sentence: str
    bar: float


RARE = 0.003  # a script is rare at this share of the tokens, and below

# The gate: no autoencoder is trained on a model that fails it.
GATE = (
    Bar("probe", "rare", "a linear probe on the neurons finds the script: its AP is at least", 0.9),
    Bar("neuron", "rare", "no single neuron does: the best one's AP is at most", 0.4),
    Bar("top 20", "rare", "nearly all neurons' strongest examples hold none of it: neurons with any among 20 are at most", 5),
)  # fmt: skip

CLAIMS = (
    Bar("latent", "rare", "one latent of a sparse autoencoder does, in every seed: the best one's AP is at least", 0.6),
    Bar("latent / neuron", "rare", "it does so better than the best neuron: the ratio of their APs is at least", 2.0),
    Bar("top 100", "rare", "the best neuron's strongest examples are of other text: the script's share of its 100 is below", 0.3),
    Bar("k of latents", "rare", "few latents say all that the neurons know: k of them reach .9 of the probe's AP, k at most", 8),
    Bar("k of neurons", "rare", "many neurons are needed for that: as many times more than latents, at least", 4.0),
    Bar("baselines", "rare", "training is what finds it: the best AP of a frozen decoder's latents, of latents of an untrained "
        "model and of principal components, over the best latent's, is below", 1.0),
    Bar("firing", "rare", "where the latent fires the text is of the script, as for Bricken et al.: the share of its firing "
        "tokens, at the training text's frequencies, is at least", 0.5),
    Bar("firing strongly", "rare", "and in the upper half of its activations at least", 0.9),
    Bar("probe everywhere", "all", "whatever the share, the neurons together hold the script: the probe's AP is at least", 0.9),
    Bar("common", "20 %", "a common script has neurons of its own: the best neuron's AP is at least", 0.7),
    Bar("falls", "all", "neurons lose a script as it gets rare: rank correlation of best neuron's AP and share, at least", 0.9),
    Bar("latents stay", "all", "latents do not: the best one's AP at the rarest share over that at the commonest, at least", 0.7),
    Bar("ablated", "rare", "the model uses the latent: taking it out raises the loss of the script's tokens more than of other "
        "tokens, times at least", 10.0),
    Bar("pinned", "rare", "and the latent writes the script: pinned at its largest activation, it multiplies the probability of "
        "the script's bytes by at least", 2.0),
)  # fmt: skip
