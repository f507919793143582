# %% [markdown]
# # 07 · The zoo, at equal L0
#
# Many sparse autoencoders have been proposed. Which is best depends on what is measured, and comparing them at different
# sparsity is unfair: an SAE with more active latents reconstructs more. So they are compared at equal **L0**, the number of
# latents active at a time. The truth is known here, because we make the data.
#
# *Slide: training one. About 50 seconds on two cores.*

# %% tags=["install"]
import sys

# In Colab alone this installs the library; it leaves the jax and numpy that are there as they are.
if "google.colab" in sys.modules:
    import subprocess
    from importlib.metadata import version
    from pathlib import Path

    kept = Path("kept.txt")
    kept.write_text("".join(f"{name}=={version(name)}\n" for name in ("jax", "jaxlib", "numpy")))
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "-c", kept, "superposition[notebooks]"], check=True
    )

# %%
import superposition as sp

# %%
import jax
import numpy as np

# %% [markdown]
# ## A world with known features
#
# 32 features are orthogonal directions in 64 dimensions. Four of them are active on average, and some of them tend to be
# active together.

# %%
steps = 1_500  # in the tests: 30
world = sp.features.PLANTED["correlated"]
stream = sp.activations.planted_stream(jax.random.key(0), world)
features = np.array(stream.sample(2_048, batch=2_048).features)
sp.plot.raster(features[:60])

# %% [markdown]
# ## Three architectures, side by side
#
# A **ReLU** SAE has an L1 penalty, which a controller moves until L0 is what we ask for. **TopK** keeps the `k` largest latents
# of every example, **BatchTopK** the largest of a whole batch, so that an example may have more or fewer. Each is trained at
# four values of L0; the true one is 4.

# %%
asked = (2, 3, 4, 6)
options = {"steps": steps, "batch_size": 256}
relu = sp.sweep(
    sp.SAERun(sp.ReLU(d_sae=32), stream, sp.Adam(3e-3), l0_target=4.0, **options), {"l0_target": asked}
)

# %%
zoo = {"ReLU, L1": relu}
for name, sae in (("TopK", sp.TopK), ("BatchTopK", sp.BatchTopK)):
    run = sp.SAERun(sae(d_sae=32, k=4, aux_coefficient=0.0), stream, sp.Adam(3e-3), **options)
    zoo[name] = sp.sweep(run, {"k": asked})

# %%
scores = {name: [sp.evaluate(sae, stream, examples=8_192) for sae in saes] for name, saes in zoo.items()}
measures = {"explained_variance": "explained", "relative_norm": "length", "mcc": "mcc"}
print(f"{'':10}{'asked':>6}{'L0':>6}" + "".join(f"{title:>11}" for title in measures.values()))
for i, wanted in enumerate(asked):
    for name, values in scores.items():
        numbers = "".join(f"{values[i][key]:11.2f}" for key in measures)
        print(f"{name:10}{wanted:6}{values[i]['l0']:6.2f}{numbers}")

# %% [markdown]
# Compare rows with one L0. `explained` is the share of the variance explained, `length` the mean length of the output over that
# of the input, and `mcc` the mean cosine of true features with the latents that were matched with them: 1 is perfect.

# %%
panels = {
    "Variance explained": "explained_variance",
    "Length: output / input": "relative_norm",
    "True features (MCC)": "mcc",
}
curves = {
    title: {
        name: sp.plot.Curve(*(np.array([[s[key]] for s in values]) for key in ("l0", measure)))
        for name, values in scores.items()
    }
    for title, measure in panels.items()
}
sp.plot.against_l0(curves, 4.0, limits=dict.fromkeys(panels, (0, 1.05)))

# %% [markdown]
# - **Shrinkage.** Below the true L0, outputs are shorter than inputs, and those of the L1 penalty are by far the shortest: it
#   charges for every activation's size, so that the SAE makes all of them smaller.
# - **The wrong L0 gives wrong latents.** Below the true L0, latents mix correlated features, because a mixture reconstructs more
#   than one feature does. MCC is low for each of the three.
# - **Reconstruction alone misleads.** Above the true L0, BatchTopK explains everything, and its latents are further from the
#   truth than at the true L0. Where the truth is not known, nothing in the left panel says so.
# - **TopK** keeps as many latents of every example, though some examples have two features and others seven. So it explains
#   less than the others at the true L0, and finds the features less well.
#
# A comparison of architectures at different L0 would mostly compare the L0.
#
# ## Hedging: an SAE that is too narrow
#
# With fewer latents than features, a latent takes along features that are correlated with its own. `metrics.hedging` is 0 for
# a clean latent.

# %%
sums = sp.metrics.correlation_sums((features != 0) * 1.0, (features != 0) * 1.0)
related = np.abs(np.array(sp.metrics.correlations(sums))) > 0.1
narrow = sp.SAERun(sp.ReLU(d_sae=32, penalty=0.5), stream, sp.Adam(3e-3), **options)
hedged = []
for sae in sp.sweep(narrow, {"width": (8, 16, 32)}):
    hedged.append(sp.metrics.hedging(np.array(sae.W_dec), np.array(stream.dictionary), related).mean)
    print(f"{len(sae.W_dec):3} latents for 32 features: hedging {hedged[-1]:.2f}")

# %% [markdown]
# ## Absorption: a latent that is silent where it should fire
#
# In the next world features have parents: *dog* is active only where *animal* is. There are 8 parents with 4 children each.
# A sparse SAE can spare a latent by writing *animal* into the row of *dog*. Then the latent for *animal* is silent on dogs. The
# rate is how much more often the parent's latent is silent where it has a child than where it is alone.

# %%
tree = sp.activations.planted_stream(jax.random.key(1), sp.features.PLANTED["hierarchy"])
run = sp.SAERun(sp.BatchTopK(d_sae=40, k=2, aux_coefficient=0.0), tree, sp.Adam(3e-3), **options)
sample = tree.sample(8_192, batch=4_096)
active = np.array(sample.features) != 0
child = active[:, 8:].reshape(-1, 8, 4).any(2)


def absorbed(sae):
    """P(parent's latent silent | parent and child) - P(silent | parent alone), (parents,)."""
    latent = sp.metrics.match(np.array(sae.W_dec), np.array(tree.dictionary)).latent_of_feature[:8]
    silent = np.array(sae.encode(sample.x))[:, latent] == 0
    parent = active[:, :8]
    return np.array(
        [
            silent[parent[:, i] & child[:, i], i].mean() - silent[parent[:, i] & ~child[:, i], i].mean()
            for i in range(8)
        ]
    )


rates = {}
for k, sae in zip((2, 4), sp.sweep(run, {"k": (2, 4)}), strict=True):
    rates[k] = absorbed(sae)
    print(f"L0 = {k}: absorption {rates[k].mean():.2f}, by parent {np.sort(rates[k]).round(1)[::-1]}")

# %% [markdown]
# On average 3.6 features are active in this world. An SAE that may use only 2 absorbs many parents. With 4 it does so less, but
# does not stop.
# These are single SAEs: with another seed the numbers differ. The experiments `sae_zoo`, `wrong_l0` and
# `absorption_and_hedging` measure all of this for every architecture, with several seeds.
