# %% [markdown]
# # 01 · What a feature is
#
# A **feature** is a property of the input that may be there or not: a word in Hebrew, an edge in a picture. Most
# features are absent from most inputs. We say that they are **sparse**.
#
# This notebook draws sparse features, and then gives five of them to a network that has two dimensions for them.
#
# *Slides: feature, polysemanticity, superposition, importance; pentagon and digons. About 30 seconds on two cores.*

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
# ## Sparse features as a raster
#
# The toy world has $n$ features. Each is zero with probability $S$, the **sparsity**, and otherwise uniform between 0
# and 1:
#
# $$x_i = 0 \text{ with probability } S, \qquad x_i \sim U[0, 1] \text{ with probability } 1 - S.$$
#
# $1 - S$ is called the **density**. Below, each column is one input with twenty features, at $S = 0.9$.

# %%
law = sp.SparseUniform(density=0.1)
x = np.array(law.sample(jax.random.key(0), n_features=20, batch_size=60))
sp.plot.raster(x)

# %% [markdown]
# Look at the columns: some inputs have no feature at all, most have one to three. Two given features are rarely active
# in the same input. This is what makes superposition possible.

# %%
pairs = (x[:, :, None] * x[:, None, :] > 0).mean(0)
together = pairs[np.triu_indices(20, 1)].mean()
print(
    f"one feature is active in {np.diag(pairs).mean():.1%} of these inputs, two given features together in {together:.1%}"
)

# %% [markdown]
# ## Five features in two dimensions
#
# The toy model has $m$ hidden neurons, fewer than there are features. It squeezes $x$ into $h = W x$, and has to find
# $x$ again:
#
# $$x' = \mathrm{ReLU}(W^T W x + b), \qquad L = \mathbb{E} \sum_i I_i\,(x_i - x'_i)^2.$$
#
# Column $i$ of $W$ is the direction in which feature $i$ is stored. $I_i$ is how **important** feature $i$ is. Here
# $I_i = 0.9^i$: the first feature matters most.
#
# We train this model with $n = 5$ and $m = 2$ at three sparsities. Training may end in a poor place, so each sparsity
# has six starts, and we keep the best.

# %%
steps = 5_000  # in the tests: 150
run = sp.ToyRun(
    sp.ReLUOutput(n_features=5, n_hidden=2),
    importance_base=0.9,
    optimizer=sp.AdamW(3e-3, weight_decay=0.0, schedule="cosine"),
    steps=steps,
)
sparsities = (0.0, 0.8, 0.9)
toys = sp.sweep(run, {"sparsity": sparsities, "seed": range(6)})
toys

# %% [markdown]
# > **On the slide:** *less important features map to zero* · *interference*
#
# Each line is one feature's direction, yellow for the most important. The picture says which shape the features form.

# %%
best = [toys.best(sparsity=s) for s in sparsities]
shapes = [sp.geometry.recognise(toy.W).name for toy in best]
W = np.stack([toy.W for toy in best])
titles = [f"{s:.0%} sparsity: {shape}" for s, shape in zip(sparsities, shapes, strict=True)]
sp.plot.features_2d(W, run.importance_vector(), titles, annotate=True)

# %% [markdown]
# - **Not sparse:** the two most important features get a dimension each. The other three are dropped.
# - **80 % sparse:** four features share two dimensions, in **digons** (two features that point in opposite
#   directions).
# - **90 % sparse:** all five are stored, as a **pentagon**. None has a direction to itself.
#
# This is **superposition**: more features than dimensions.

# %%
for s, toy in zip(sparsities, best, strict=True):
    norms = np.round(sp.geometry.norms(toy.W), 2)
    print(f"sparsity {s:.0%}: norms {norms}, exact loss {toy.loss:.4f}")

# %% [markdown]
# ## What goes wrong, and why it rarely matters
#
# In the pentagon a feature also pushes its neighbours up a little. This is **interference**. The bias is negative, so
# that the ReLU removes most of it. Let one feature be active, then two neighbours at once:

# %%
pentagon = best[-1]
angle = np.arctan2(pentagon.W[1], pentagon.W[0])
order = np.argsort(angle)  # the features around the pentagon
one, two = np.zeros(5), np.zeros(5)
one[order[0]] = 1.0
two[order[[0, 1]]] = 1.0
for name, given in (("one feature", one), ("two neighbours", two)):
    print(f"{name:15} x  = {given[order]}")
    print(f"{'':15} x' = {np.round(np.array(pentagon.apply(given))[order], 2)}")

# %% [markdown]
# With one feature active the answer is nearly right. With two neighbours it is wrong, and at 90 % sparsity that
# happens in about one input out of a hundred for each pair. The model accepts this price.
#
# **Polysemanticity** follows: hidden neuron 0 responds to every feature that has a part in its direction.

# %%
sp.plot.neuron_view(pentagon, 0)

# %% [markdown]
# ## Live
#
# The page below trains this model in your browser, without Python, while you move a slider. Drag the density from the
# right end to the left: dedicated features, digons, pentagon. `superposition explore` writes the same page as a file.

# %%
sp.explore(widget=False)

# %% [markdown]
# ## Try it
#
# Change the sparsity, and train again. Where does the pentagon appear? Does it still appear if all features are equally
# important (`importance_base=1.0`)?

# %%
mine = sp.sweep(run, {"sparsity": (0.85, 0.95), "seed": range(6)})
sp.plot.features_2d([mine.best(sparsity=s) for s in (0.85, 0.95)])
