# %% [markdown]
# # 04 · Geometry: polytopes, dimensionality, energy levels
#
# Features in superposition do not point anywhere. They form regular shapes, each feature has a measurable fraction of a
# dimension, and training moves between shapes in jumps.
#
# *Slides: pentagon and digons; superposition. About 50 seconds on two cores.*

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
import numpy as np

# %% [markdown]
# ## Shapes
#
# All features are equally important now, and very sparse. We train several starts of three sizes, and ask for the name of
# what they form. `recognise` joins the features that interfere with each other, and compares their angles with those of
# known shapes.

# %%
steps = 2_000  # in the tests: 30


def shapes(n_features, n_hidden):
    """The best of four models, and what it forms."""
    run = sp.ToyRun(
        sp.ReLUOutput(n_features, n_hidden),
        sp.SparseUniform(density=0.01),
        optimizer=sp.AdamW(5e-3, weight_decay=0.0, schedule="cosine"),
        steps=steps,
        batch_size=256,
    )
    best = sp.sweep(run, {"seed": range(4)}).best()
    return best, sp.geometry.recognise(best.W).name


pentagon, name = shapes(5, 2)
sp.plot.features_2d(pentagon, titles=[f"5 in 2 dimensions: {name}"])

# %%
for n, m in ((6, 3), (8, 3)):
    toy, name = shapes(n, m)
    D = sp.geometry.dimensionality(toy.W)
    print(f"{n} features in {m} dimensions: {name}; dimensionality {D.min():.3f} to {D.max():.3f}")

# %% [markdown]
# Three digons in three dimensions are the corners of an **octahedron**. Eight features form a **square antiprism**: two
# squares, one turned by 45 degrees. The same shapes solve Thomson's problem of electrons on a sphere, where charges repel
# each other.
#
# ## How much of a dimension has a feature?
#
# $$D_i = \frac{\|W_i\|^2}{\sum_j (\hat{W}_i \cdot W_j)^2}, \qquad \hat{W}_i = W_i / \|W_i\|.$$
#
# A feature with a dimension to itself has $D_i = 1$. In a digon each has $1/2$, in a triangle $2/3$ (three features in two
# dimensions), in a pentagon $2/5$. Together they cannot have more than the $m$ dimensions there are.
#
# Now 60 equal features in 10 dimensions, from dense to sparse.

# %%
path_steps = 3_000  # in the tests: 30
run = sp.ToyRun(
    sp.ReLUOutput(60, 10, init="anthropic"),
    optimizer=sp.AdamW(5e-3, weight_decay=0.0, schedule="cosine"),
    steps=path_steps,
    batch_size=128,
)
densities = (1.0, 0.7, 0.5, 0.45, 0.4, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05)
uniform = sp.sweep(run, {"density": densities, "seed": range(2)})
sp.plot.dimensionalities(uniform)

# %% [markdown]
# From left to right, features get sparser, and more of them are stored.
#
# - Dense: the model stores parts of many features.
# - Then a **plateau**: pairs, whatever the sparsity, until they give way.
# - Then pentagons and larger shapes, and at last one shape that holds all features.
#
# The experiment `feature_dimensionality` does this with 400 features in 30 dimensions. There, too, the plateau of pairs
# runs from $1/(1-S) = 3$ to about 4, then pentagons come.

# %%
for density in (0.5, 0.4, 0.3, 0.25, 0.2):
    print(f"1/(1-S) = {1 / density:.1f}: {sp.geometry.recognise(uniform.best(density=density).W).name}")

# %% [markdown]
# ## Energy levels
#
# How does a model get there? We follow one model of 20 features in 5 dimensions through its training, with its exact loss.
# The dashed lines are computed, not fitted: the exact loss with $k$ features stored, all of them in digons or alone, and the
# others dropped.

# %%
long = 20_000  # in the tests: 200
run = sp.ToyRun(
    sp.ReLUOutput(20, 5, init="anthropic"),
    sp.SparseUniform(density=0.4),
    optimizer=sp.AdamW(3e-3, weight_decay=0.0),
    steps=long,
    batch_size=64,
)
frames = np.linspace(0, long, 201).astype(int).tolist()
path = sp.sweep(run, {"seed": (3,)}, at_steps=frames)

# %%
from superposition.theory.kgons import digon_levels

levels = digon_levels(20, 5, density=0.4)
sp.plot.training_path(path, levels)

# %% [markdown]
# The loss stays at one level for thousands of steps. Nothing seems to happen. Then a tenth feature finds its place opposite
# one that was nearly alone, and the loss drops to the next level. This is the run of the experiment `energy_levels`.

# %%
loss = path["loss"].values.ravel()
for name, value in (("half-way", loss[100]), ("at the end", loss[-1])):
    k = int(np.abs(levels - value).argmin())
    print(f"{name:10}: loss {value:.4f}; {k} features stored would have {levels[k]:.4f}")
