# %% [markdown]
# # 06 · A sparse autoencoder from its two equations
#
# You write the encoder, the decoder and the loss of a sparse autoencoder (SAE), train it on the activations of a toy model,
# and see what the sparsity penalty is for. The toy's features are known, so the SAE can be scored.
#
# *Slides: SAE architecture; training one. About 40 seconds on two cores, and twenty minutes with the exercises.*

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
import jax.numpy as jnp
import numpy as np
import optax
from lab import check_decode, check_encode, check_loss, check_pseudo_identity

# %% [markdown]
# ## The activations
#
# A toy model stores up to 32 features in 8 neurons. We pretend to see only the activations $h$ of the neurons.

# %%
toy_steps = 3_000  # in the tests: 50
toy = sp.fit(
    sp.ToyRun(sp.ReLUOutput(32, 8), sp.SparseUniform(density=0.035), importance_base=0.9, steps=toy_steps)
)
stored = np.array(toy.W)[:, np.array(sp.geometry.norms(toy.W)) > 0.5]
x = np.array(toy.recipe.features.sample(jax.random.key(0), 32, 60_000))
h = x[x.any(1)] @ np.array(toy.W).T
h = (
    h * np.sqrt(8) / np.linalg.norm(h, axis=1).mean()
)  # a scale on which the penalty means the same for every model
print(f"{stored.shape[1]} features stored in 8 neurons; {len(h):,} inputs with some feature active")

# %% [markdown]
# ## The first equation: the encoder
#
# $$f = \mathrm{ReLU}\big((h - b_{dec})\,W_{enc} + b_{enc}\big)$$
#
# $f$ are the **latents**, more of them than there are neurons, few of them active. `params` holds `W_enc` (8, d_sae), `b_enc`
# (d_sae,), `W_dec` (d_sae, 8) and `b_dec` (8,). `h` has an example a row. Use `jnp`, the NumPy of JAX.
#
# **Exercise 1.** Write `encode`.


# %% tags=["solution"]
def encode(params, h):
    """Latents (examples, d_sae) of activations h (examples, d_in)."""
    return jnp.maximum((h - params["b_dec"]) @ params["W_enc"] + params["b_enc"], 0)


# %% tags=["check"]
check_encode(encode)

# %% [markdown]
# ## The second equation: the decoder
#
# $$\hat{h} = f\,W_{dec} + b_{dec}$$
#
# Row $i$ of $W_{dec}$ is the direction of latent $i$.
#
# **Exercise 2.** Write `decode`.


# %% tags=["solution"]
def decode(params, f):
    """Reconstruction (examples, d_in) of latents f (examples, d_sae)."""
    return f @ params["W_dec"] + params["b_dec"]


# %% tags=["check"]
check_decode(decode)

# %% [markdown]
# ## The loss
#
# $$L = \text{mean over examples of } \Big( \|h - \hat{h}\|^2 + \lambda \sum_i f_i\,\|W_{dec,i}\| \Big)$$
#
# The first part asks for a good reconstruction, the second for few and small latents. $\lambda$ is the penalty.
#
# **Exercise 3.** Write `loss`. Use your `encode` and `decode`.


# %% tags=["solution"]
def loss(params, h, penalty):
    """One number."""
    f = encode(params, h)
    error = ((h - decode(params, f)) ** 2).sum(axis=1)
    norms = jnp.linalg.norm(params["W_dec"], axis=1)
    return (error + penalty * f @ norms).mean()


# %% tags=["check"]
check_loss(loss)

# %% [markdown]
# ## Training it
#
# This cell is given. It draws a batch, takes the gradient of your loss, and lets Adam change the parameters.

# %%
steps = 3_000  # in the tests: 1_000


@jax.jit
def train(penalty):
    """Your SAE with 48 latents, trained."""
    directions = jax.random.normal(jax.random.key(1), (48, 8))
    directions = 0.1 * directions / jnp.linalg.norm(directions, axis=1, keepdims=True)
    start = {"W_enc": directions.T, "b_enc": jnp.zeros(48), "W_dec": directions, "b_dec": jnp.zeros(8)}
    adam, data = optax.adam(optax.cosine_decay_schedule(3e-3, steps)), jnp.asarray(h)

    def step(carry, key):
        params, state = carry
        batch = data[jax.random.randint(key, (512,), 0, len(data))]
        updates, state = adam.update(jax.grad(loss)(params, batch, penalty), state)
        return (optax.apply_updates(params, updates), state), None

    keys = jax.random.split(jax.random.key(2), steps)
    return jax.lax.scan(step, (start, adam.init(start)), keys)[0][0]


def score(params):
    """Active latents at a time, share of the variance lost, and share of the stored features found."""
    f = np.array(encode(params, h[:20_000]))
    lost = ((h[:20_000] - np.array(decode(params, f))) ** 2).sum() / (
        (h[:20_000] - h[:20_000].mean(0)) ** 2
    ).sum()
    best = np.array(sp.metrics.cosines(np.array(params["W_dec"]), stored.T)).max(0)
    return (f > 1e-3).sum(1).mean(), lost, (best > 0.9).mean()


# %% [markdown]
# ## Without a penalty: a pseudo-identity
#
# > **On the slide:** with an L1 penalty of 0 the SAE is a pseudo-identity.
#
# With $\lambda = 0$ the loss asks only for a good reconstruction. The SAE has 48 latents for 8 neurons, so that is easy: it
# copies its input. Train it, and score it.

# %%
identity = train(0.0)
l0, lost, found = score(identity)
print(
    f"penalty 0: {l0:.1f} latents active, {lost:.2%} of the variance lost, {found:.0%} of the features found"
)

# %% tags=["check"]
check_pseudo_identity(l0, lost, found)

# %% [markdown]
# Nearly nothing is lost, and nothing is learned: half of the latents are active at a time, and none of them is a feature.
# A perfect reconstruction proves nothing.
#
# ## With a penalty

# %%
penalties = (0.0, 0.01, 0.03, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
trained = {penalty: train(penalty) for penalty in penalties}
scores = {penalty: score(params) for penalty, params in trained.items()}
print(f"{'penalty':>8} {'active':>8} {'lost':>8} {'found':>8}")
for penalty, (l0, lost, found) in scores.items():
    print(f"{penalty:8g} {l0:8.1f} {lost:8.1%} {found:8.0%}")

# %% [markdown]
# The larger the penalty, the fewer latents are active, and the more of the variance is lost. In between, the latents become
# the toy model's features. With too large a penalty they are lost again. Nobody tells us the right penalty where the truth
# is not known: this is the difficulty of SAEs on language models.

# %%
best = max(scores, key=lambda penalty: scores[penalty][2])
mine = sp.Trained(
    sp.ReLU(d_in=8, d_sae=48, penalty=best), {name: np.array(a) for name, a in trained[best].items()}
)
one = int(np.argsort(np.linalg.norm(h[:101], axis=1))[50])  # an input of middling size
sp.plot.architecture(mine, h[one])


# %% [markdown]
# This is your SAE at work on one input. `sp.Trained` takes parameters of your own, so that everything in the library can
# use them. Compare the directions of its latents with the truth, without a penalty and with the best:


# %%
def against_truth(params, title):
    """Cosines of latents with features, the partner of each feature on the diagonal."""
    cosines = np.array(sp.metrics.cosines(np.array(params["W_dec"]), stored.T))
    order = list(dict.fromkeys(int(j) for j in cosines.argmax(0)))
    return sp.plot.matched_cosines(cosines[order], range(len(order)), title=title)


against_truth(trained[0.0], f"Penalty 0: {scores[0.0][2]:.0%} of the features have a latent")

# %%
against_truth(trained[best], f"Penalty {best:g}: {scores[best][2]:.0%} of the features have a latent")

# %% [markdown]
# ## The library's own
#
# `sp.fit` trains the same architecture and others, and `sp.evaluate` scores them. A TopK SAE has no penalty: it keeps the
# $k$ largest latents.

# %%
library_steps = 2_000  # in the tests: 30
run = sp.SAERun(sp.TopK(d_sae=48, k=1), toy.activations(), sp.Adam(3e-3), steps=library_steps, batch_size=512)
sp.evaluate(sp.fit(run), toy.activations(), examples=20_000)
