# %% [markdown]
# # 03 · Superposition is a phase change
#
# One neuron, two features. Which will it store: the first, the second, or both? The answer changes abruptly with
# importance and sparsity, as water changes to ice.
#
# *Slide: phase diagram. About 50 seconds on two cores.*

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
# ## The theory: three candidates
#
# There are $n = 2$ features and $m = 1$ hidden neuron. The first feature has importance 1, the **extra** feature has
# importance $r$. Elhage et al. compare three weight matrices, each with bias 0, whose loss has a closed form
# ($p = 1 - S$):
#
# | candidate | $W$ | loss |
# |---|---|---|
# | the extra feature is dropped | $(1, 0)$ | $r\,(p/3 - p^2/4)$ |
# | the extra feature has the dimension | $(0, 1)$ | $p/3 - p^2/4$ |
# | both, in opposite directions | $(1, -1)$ | $(1 + r)\,p^2/6$ |
#
# In each cell of the diagram we colour the candidate with the least loss.

# %%
r, p = np.geomspace(0.1, 10, 25), np.geomspace(1, 0.01, 24)
candidates = sp.theory.phase_losses(sp.theory.PHASES_2_1, r[None, :], p[:, None])
theory = sp.plot.Theory("Theory: three phases with sharp borders", candidates.argmin(0), sp.plot.TWO_IN_ONE)
sp.plot.phase_diagram([theory], r, p)

# %% [markdown]
# Read it from the top: if features are dense (1.0), the neuron takes the more important one. If they are sparse, it
# takes both. At $r = 1$ the three phases meet at $1 - S = 4/7 = 0.571$.
#
# ## The experiment: 3,000 models
#
# We now train a model for each of 25 × 24 cells, from five starts each: 3,000 models in one call.

# %%
steps = 2_000  # in the tests: 200
run = sp.ToyRun(
    sp.ReLUOutput(n_features=2, n_hidden=1),
    optimizer=sp.AdamW(2e-2, weight_decay=0.0, schedule="cosine"),
    steps=steps,
    batch_size=128,
)
importance = np.stack([np.ones_like(r), r], axis=1)
toys = sp.sweep(run, {"density": p, "importance": importance, "seed": range(5)})
toys

# %%
best = toys["loss"].argmin("seed")
W = toys["W"].isel(seed=best).transpose("density", "importance", "n_hidden", "n_features").values
trained = sp.plot.Measured(
    "3,000 trained models: the same phases",
    sp.geometry.norms(W)[..., -1],
    sp.geometry.interference(W)[..., -1],
)
sp.plot.phase_diagram([theory, trained], r, p)

# %% [markdown]
# > **On the slide:** the phase diagram: theory beside experiment.
#
# The colour of a cell says what became of the extra feature. Grey: it is not there. Blue: it has the dimension to itself.
# Red: it shares the dimension.
#
# ## Look into one cell
#
# Choose a cell by importance and density, and see the model that was trained there.


# %%
def model_at(relative_importance, density):
    """The best model of the nearest cell."""
    row, column = np.abs(np.log(p / density)).argmin(), np.abs(np.log(r / relative_importance)).argmin()
    return toys.best(density=p[row], importance=toys.axes["importance"][column])


for place in ((0.2, 1.0), (5.0, 1.0), (1.0, 0.1)):
    toy = model_at(*place)
    kind = sp.geometry.recognise(toy.W).name
    weights, biases = np.round(np.array(toy.W[0]), 2), np.round(np.array(toy.b), 2)
    print(f"r = {place[0]:<4g} 1 - S = {place[1]:<5g} W = {weights}, b = {biases}: {kind}")

# %%
places = ((0.2, 1.0), (5.0, 1.0), (1.0, 0.1))
words = ("extra feature dropped", "extra feature alone", "both: superposition")
models = [model_at(*place) for place in places]
sp.plot.columns(models, titles=[f"r={a:g}, 1-S={b:g}" for a, b in places],
                groups=[("", k, k, word) for k, word in enumerate(words)])  # fmt: skip

# %% [markdown]
# ## Point at a cell
#
# Click in the diagram, or move the point with the arrow keys: your browser trains the model of that cell, and compares
# its loss with the three candidates and with the least loss that there is, which the next section is about.

# %%
sp.explore(view="phase", density=0.5, widget=False)

# %% [markdown]
# ## The exact minimum: where the theory falls short
#
# Three candidates are not all weights there are. Below, weights and biases are optimised against the exact loss, in
# every second cell of the diagram, from 24 starts each.

# %%
starts = 24  # in the tests: 2
rows, columns = p[::2], r[::2]
every = np.tile(importance[::2], (len(rows), 1))
exact = sp.theory.exact_minimum(
    "relu", every, np.repeat(rows, len(columns)), 1, key=jax.random.key(0), restarts=starts
)
least = exact.loss.reshape(len(rows), len(columns))
minimum = sp.plot.Measured(
    "Exact minimum: red reaches higher",
    sp.geometry.norms(exact.W)[:, -1].reshape(least.shape),
    sp.geometry.interference(exact.W)[:, -1].reshape(least.shape),
    axes=(columns, rows),
)
sp.plot.phase_diagram([trained, minimum], r, p)

# %%
reached = toys["loss"].min("seed").values[::2, ::2] / least - 1
gain = 1 - least / candidates.min(0)[::2, ::2]
print(f"trained models end at most {reached.max():.2%} above the exact minimum")
print(f"the exact minimum beats the best of the three candidates by up to {gain.max():.0%}")

# %% [markdown]
# Training finds the minimum, so the difference between theory and experiment is the theory's: a positive bias and
# weights shorter than 1 make superposition worth while further up than 4/7. On a finer grid the experiment
# `phase_diagram` finds that the candidates are beaten by up to 13 %, and that at equal importance superposition ends at
# $1 - S = 0.66$.
#
# ## Why is it called a phase change?
#
# Go down one column, at $r = 0.32$: the extra feature does not come in little by little. Its norm jumps.

# %%
column = int(np.abs(np.log(r / 0.32)).argmin())
for row in range(14):
    norm = np.abs(W[row, column, 0, 1])
    print(f"1 - S = {p[row]:.2f}   norm of the extra feature {norm:.2f}   {'#' * round(30 * norm)}")
