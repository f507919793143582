# %% [markdown]
# # 02 · Linear against ReLU
#
# One model is linear, the other has a ReLU at its output. Nothing else differs. One of them never uses superposition;
# the other uses it more, the sparser the features are.
#
# *Slides: linear vs ReLU; $W^T W$ and norms. About 40 seconds on two cores.*

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
# ## Two models
#
# $$\text{linear: } x' = W^T W x + b \qquad\qquad \text{ReLU: } x' = \mathrm{ReLU}(W^T W x + b)$$
#
# There are $n = 20$ features of importance $I_i = 0.7^i$, and $m = 5$ hidden neurons. We train at seven densities
# $1 - S$, from dense (1) to very sparse (0.001).

# %%
densities = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
linear_steps = 3_000  # in the tests: 50
linear_run = sp.ToyRun(
    sp.Linear(n_features=20, n_hidden=5),
    importance_base=0.7,
    optimizer=sp.AdamW(1e-2, weight_decay=0.0, schedule="cosine"),
    steps=linear_steps,
    batch_size=256,
)
linear = sp.sweep(linear_run, {"density": densities, "seed": range(2)})
sp.plot.columns([linear.best(density=p) for p in (1.0, 0.1, 0.001)])

# %% [markdown]
# > **On the slide:** *Linear models learn the top m features.*
#
# Above is $W^T W$, which says what becomes of each feature at the output, with the bias beside it. Below is the norm of
# each feature's direction. Five features have norm 1, fifteen have norm 0, at every density.
#
# Now the ReLU model.

# %%
steps = 5_000  # in the tests: 60
relu_run = sp.ToyRun(
    sp.ReLUOutput(n_features=20, n_hidden=5),
    importance_base=0.7,
    optimizer=sp.AdamW(3e-3, weight_decay=0.0, schedule="cosine"),
    steps=steps,
    batch_size=512,
)
relu = sp.sweep(relu_run, {"density": densities, "seed": range(4)})
relu

# %% [markdown]
# > **On the slide:** *In the dense regime, ReLU output models also learn the top m features.*
# >
# > *As sparsity increases, superposition lets models represent more features. The most important are touched last; the
# > first to share a dimension do so in antipodal pairs.*
# >
# > *In the high sparsity regime all features are in superposition and more keep being packed, with positive interference
# > and negative biases.*

# %%
shown = [linear.best(density=0.001), *(relu.best(density=p) for p in densities)]
counts = [int(sp.geometry.represented(relu.best(density=p).W)) for p in densities]
sp.plot.columns(
    shown,
    titles=["(or any)", *densities],
    groups=[
        ("Linear", 0, 0, "**5 features**, whatever the sparsity."),
        ("ReLU", 1, 1, f"**Dense: {counts[0]}** features."),
        (
            "",
            2,
            4,
            f"**Sparser: {counts[1]}, {counts[2]}, {counts[3]}** features, the first in antipodal pairs (blue squares).",
        ),
        (
            "",
            5,
            7,
            f"**Very sparse: {counts[4]}, {counts[5]}, {counts[6]}** features, all of them in superposition (yellow).",
        ),
    ],
)

# %% [markdown]
# How to read it: in $W^T W$ red on the diagonal is a feature that is kept. Blue off the diagonal joins two features that
# point in opposite directions. A bar is dark where its feature has a direction to itself, and yellow where others share
# it.
#
# ## How good is each model? The exact loss
#
# Nothing below is sampled. The expected loss of such a model can be computed exactly, and for the linear model the best
# possible loss is known in closed form:
#
# $$L^* = v(p) \sum_{i \ge m} I_i, \qquad v(p) = \frac{p}{3} - \frac{p^2}{4}, \qquad p = 1 - S.$$

# %%
importance = relu_run.importance_vector()
print(f"{'1 - S':>6} {'features':>9} {'linear':>10} {'its optimum':>12} {'ReLU':>10} {'ReLU / linear':>14}")
for p, count in zip(densities, counts, strict=True):
    optimum = sp.theory.linear_optimum(importance, p, 5)
    a, b = linear.best(density=p).loss, relu.best(density=p).loss
    print(f"{p:6g} {count:9} {a:10.3g} {optimum:12.3g} {b:10.3g} {b / a:14.2f}")

# %% [markdown]
# The linear model reaches its optimum, so its five features are no failure of training. The ReLU model gains more, the
# sparser the features are.
#
# Any weights have an exact loss, also weights of your own. Here two features share one dimension, in opposite
# directions:

# %%
pair = sp.ToyParams(np.array([[1.0, -1.0]]), np.zeros(2))
for p in (1.0, 0.1, 0.01):
    print(f"1 - S = {p:g}: ReLU {sp.reference_loss(pair, np.ones(2), p, activation='relu'):.2e},"
          f" linear {sp.reference_loss(pair, np.ones(2), p, activation='linear'):.2e}")  # fmt: skip

# %% [markdown]
# The ReLU removes what one feature of a pair does to the other, unless both are active. Both are active with
# probability $p^2$, so the loss falls as $p^2$. The linear model pays whenever one of them is active.
