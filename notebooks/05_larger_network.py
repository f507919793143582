# %% [markdown]
# # 05 · The larger network
#
# Here is the lecture's central picture. Imagine a large network in which each neuron is one feature: a **disentangled**
# network. What we can observe is a smaller network, which simulates the large one by storing its neurons as almost
# orthogonal directions.
#
# *Slide: hypothetical larger network, projection. About 30 seconds on two cores.*

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
# ## The large network and its projection
#
# The large network has $n = 20$ neurons, and neuron $i$ is feature $x_i$, nothing else. The observed network has $m = 5$
# neurons, $h = W x$. It was trained so that $x$ can be read out of it again, $x' = \mathrm{ReLU}(W^T W x + b)$.

# %%
steps = 5_000  # in the tests: 100
run = sp.ToyRun(
    sp.ReLUOutput(n_features=20, n_hidden=5),
    sp.SparseUniform(density=0.01),
    importance_base=0.7,
    optimizer=sp.AdamW(3e-3, weight_decay=0.0, schedule="cosine"),
    steps=steps,
    batch_size=512,
)
toy = sp.sweep(run, {"seed": range(4)}).best()
toy

# %% [markdown]
# > **On the slide:** hypothetical larger network; projection.
#
# Let one neuron of the large network be active. In the observed network nearly all neurons respond, some up, some down.
# Nothing in a single neuron tells which feature it was. All of them together do.

# %%
x = np.zeros(20)
x[3] = 0.9
sp.plot.network(toy, x)

# %% [markdown]
# With two features active, their patterns add up, and in some neurons they cancel. Both features can still be read, because
# their directions hardly overlap. A few other features respond a little, too: this is interference.

# %%
x = np.zeros(20)
x[[1, 6]] = 0.9, 0.6
sp.plot.network(toy, x)

# %% [markdown]
# ## What one neuron sees
#
# Someone who looks at neuron 2 alone finds a neuron that responds to many unrelated features. It is **polysemantic**. In
# the large network there is no such neuron; it appears only in the projection.

# %%
sp.plot.neuron_view(toy, 2)

# %%
seen = (np.abs(np.array(toy.W)) > 0.1).sum(1)
for neuron, count in enumerate(seen):
    print(f"observed neuron {neuron}: responds to {count} of the large network's 20 neurons")

# %% [markdown]
# ## Almost orthogonal vectors
#
# > **On the slide:** *almost orthogonal*
#
# In five dimensions only five directions are orthogonal to each other. If *almost* orthogonal is enough, there is room for
# more. This is how the features of this model stand to each other, with random directions for comparison:

# %%
sp.plot.angles(toy)

# %% [markdown]
# In more dimensions this gets much easier. The cosine of two random directions in $m$ dimensions is about $1/\sqrt{m}$, and
# the number of directions with a given largest cosine grows exponentially with $m$.

# %%
rng = np.random.default_rng(0)
for m in (5, 50, 500, 5_000):
    directions = rng.standard_normal((m, 200))
    cosines = sp.geometry.cosines(directions)[np.triu_indices(200, 1)]
    average, most = np.abs(cosines).mean(), np.abs(cosines).max()
    print(f"{m:5} dimensions: cosine of two random directions {average:.3f} on average, {most:.3f} at most")

# %% [markdown]
# ## The price: interference
#
# When many features are active at once, the read-out is no longer right. How often does it fail? We draw inputs, and count
# the wrong answers, by how many features were active.

# %%
dense = sp.SparseUniform(density=0.1)
inputs = np.array(dense.sample(jax.random.key(1), n_features=20, batch_size=20_000))
inputs[:, np.array(sp.geometry.norms(toy.W)) < 0.5] = 0  # only features that this model stores
error = np.abs(np.array(toy.apply(inputs)) - inputs).max(1)
active = (inputs > 0).sum(1)
for k in range(1, 5):
    print(
        f"{k} active: off by more than 0.3 in some feature in {(error[active == k] > 0.3).mean():.0%} of the inputs"
    )

# %% [markdown]
# This is why sparsity matters. The model was trained where two features are rarely active together.
#
# ## Can the large network be found again?
#
# We see only $h$, five numbers. A **sparse autoencoder** (SAE) looks for directions of which few are active at a time. Here
# it is trained on the observed network's activations alone, and compared with the truth, which we know.

# %%
sae_steps = 2_000  # in the tests: 30
sae = sp.fit(
    sp.SAERun(sp.TopK(d_sae=16, k=1), toy.activations(), sp.Adam(3e-3), steps=sae_steps, batch_size=512)
)
score = sp.evaluate(sae, toy.activations(), examples=20_000)
print(f"{score['found']:.0%} of the represented features have a latent in their direction (cosine over 0.9)")

# %%
kept = np.flatnonzero(np.array(sp.geometry.norms(toy.W)) > 0.5)
truth = np.array(toy.W)[:, kept] / np.linalg.norm(np.array(toy.W)[:, kept], axis=0)
decoder = np.array(sae.W_dec) / np.linalg.norm(np.array(sae.W_dec), axis=1, keepdims=True)
cosines = decoder @ truth
first = [int(cosines[:, i].argmax()) for i in range(len(kept))]
order = [*dict.fromkeys(first)]
order += [j for j in range(len(decoder)) if j not in order]
found = int((cosines.max(0) > 0.9).sum())
sp.plot.matched_cosines(
    cosines, order, title=f"{found} of {len(kept)} features of the larger network found by the SAE"
)

# %% [markdown]
# The red diagonal is the large network, found again from the small one. Blue squares are opposite directions, and rows
# below the dashed line are latents that no feature needed. Notebook 06 builds such an SAE from its two
# equations.
