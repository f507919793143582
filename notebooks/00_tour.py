# %% [markdown]
# # 00 · A tour in five minutes
#
# This library trains small networks in which we know the truth, and takes them apart with the same tools that are used on
# language models. This notebook shows each part once. The later ones explain them.
#
# It runs without a network. *About 40 seconds on two cores.*

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

# %% [markdown]
# ## 1. A model that stores more features than it has neurons
#
# `ToyRun` is a recipe: which model, which data, how to train. `sweep` trains it from several starts, and `best` takes the
# one with the lowest loss.

# %%
steps = 3_000  # in the tests: 50
run = sp.ToyRun(
    sp.ReLUOutput(n_features=20, n_hidden=5),
    sp.SparseUniform(density=0.03),
    importance_base=0.7,
    optimizer=sp.AdamW(3e-3, weight_decay=0.0, schedule="cosine"),
    steps=steps,
    batch_size=256,
)
toys = sp.sweep(run, {"seed": range(3)})
toy = toys.best()
sp.plot.columns(toy)

# %% [markdown]
# There are 5 neurons, and more than 5 features of norm 1. They share dimensions: that is **superposition**.

# %%
print(
    f"{int(sp.geometry.represented(toy.W))} features in 5 dimensions, as {sp.geometry.recognise(toy.W).name}"
)
toy

# %% [markdown]
# ## 2. A sparse autoencoder finds the features again
#
# The SAE sees only the five neurons' activations. `evaluate` compares what it found with the truth.

# %%
sae_steps = 2_000  # in the tests: 30
sae = sp.fit(
    sp.SAERun(sp.TopK(d_sae=16, k=1), toy.activations(), sp.Adam(3e-3), steps=sae_steps, batch_size=512)
)
sp.evaluate(sae, toy.activations(), examples=20_000)

# %% [markdown]
# `mcc` is the mean cosine of each true feature with the latent that was matched with it: 1 is perfect. `found` is the share
# of features that have a latent of their own direction.
#
# ## 3. The same on a language model
#
# A small language model and an SAE for it come with the library. The SAE is attached to the model, and one latent is
# steered, which changes what the model writes.

# %%
lm = sp.LanguageModel.from_hf()
attached = lm.attach(sp.load("superposition/small-lm-sae"))
for strength in (0.0, 12.0):
    print(f"latent 136 at {strength:2g}:", attached.steer(136, strength).generate("Once upon a time", 30))

# %% [markdown]
# ## Where to go from here
#
# | notebook | shows |
# |---|---|
# | 01 | what a feature is; five features in two dimensions |
# | 02 | linear against ReLU, across sparsity |
# | 03 | the phase change: theory, 3,000 models, the exact minimum |
# | 04 | geometry: polytopes, dimensionality, energy levels |
# | 05 | the larger network that the small one simulates |
# | 06 | a sparse autoencoder from its two equations |
# | 07 | the zoo of architectures at equal L0, and what goes wrong |
# | 08 | a language model: Arabic, Hebrew, neurons and latents |
# | 09 | reading feature pages: examples, a rule, its F1 |
# | 10 | the four questions, each with a number |
# | 11 | steering and ablation |
# | 12 | SAE Lens's tutorial, step by step |
# | 13 | attribution, and a transcoder in place of the MLP |
