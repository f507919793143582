# %% [markdown]
# # 12 · SAE Lens's tutorial, step by step
#
# SAE Lens is the library with which most SAEs are used, and its tutorial (`tutorial_2_0.ipynb`) is where most people start. Here
# are its steps in its order, each with SAE Lens's call above and ours below. What you learn here carries over.
#
# *Slide: SAE Lens. About 40 seconds on two cores.*

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
from itertools import pairwise
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

from superposition.interventions import Logit, contrast, first_available
from superposition.llm.demo import demo_text
from superposition.llm.direct import logit_weights
from superposition.llm.packing import pack_text
from superposition.pages.alphabets import isolated, right_to_left, transliterated
from superposition.pages.llm import feature_pages
from superposition.pages.pieces import piece, pieces
from superposition.pages.write import write

# %% [markdown]
# ## 1. Load a model and an SAE
#
# ```python
# model = HookedSAETransformer.from_pretrained("gpt2-small")                       # SAE Lens
# sae, cfg, sparsity = SAE.from_pretrained("gpt2-small-res-jb", "blocks.7.hook_resid_pre")
# ```
#
# This cell chooses. Where the Hugging Face hub answers, it takes the tutorial's own GPT-2 and SAE (0.7 GB to fetch). Without a
# network, or with `HF_HUB_OFFLINE=1`, it takes the small model and the SAE that come with the library. All other cells are the
# same.

# %%
attached = first_available("gpt2")
lm = attached.lm
print(attached, *attached.notes, sep="\n")

# %% [markdown]
# ## 2. Inspect it
#
# ```python
# sae.cfg.d_in, sae.cfg.d_sae, sae.cfg.metadata.hook_name                          # SAE Lens
# ```

# %%
print(f"reads {attached.sae.d_in} numbers a token at {attached.hook}, has {attached.sae.d_sae:,} latents")
print({name: value.shape for name, value in attached.params.items()})
attached.sae

# %% [markdown]
# ## 3. Evaluate it
#
# ```python
# run_evals(sae, activation_store, model)                                          # SAE Lens
# ```
#
# The SAE is spliced into the model, which then runs on the reconstruction. `ce_recovered` is the share of the loss between
# zero ablation and the model itself that it keeps.

# %%
kinds = ("arabic", "hebrew", "chinese", "english", "python", "c", "dna", "base64_ascii", "hex")
packed = pack_text(lm.tokenizer, {k: demo_text()[k] for k in kinds}, 64, facts=lm.token_facts)
text = packed.rows(np.concatenate([np.flatnonzero(packed.source == i)[:12] for i in range(len(kinds))]))
score = attached.evaluate(text).numbers
print(
    f"{score['l0']:.1f} latents active, {score['fvu']:.1%} of the variance lost, on {score['tokens']:,.0f} tokens"
)
print(f"loss {score['ce']:.3f} -> {score['ce_spliced']:.3f} nats a token with the SAE, {score['ce_zero']:.3f} with zeros: "
      f"{score['ce_recovered']:.1%} recovered")  # fmt: skip

# %% [markdown]
# ## 4. The latents of a prompt
#
# ```python
# _, cache = model.run_with_cache_with_saes(prompt, saes=[sae])                    # SAE Lens
# cache["blocks.7.hook_resid_pre.hook_sae_acts_post"]
# ```

# %%
prompt = "In the beginning, God created the heavens and the"
f = np.asarray(attached.encode(prompt))[0]  # (tokens, latents), BOS included where the model has one
print(f"latents of the last token: {(f[-1] > 0).sum()} active of {f.shape[1]:,}")
for j in np.argsort(-f[-1])[:5]:
    print(f"  latent {j:5} fires {f[-1, j]:.2f}")

# %% [markdown]
# ## 5. Contrast pairs
#
# Two prompts that differ in a word: which latents tell them apart on the last token?
#
# ```python
# diff = cache[key][1, -1] - cache[key][0, -1]; torch.topk(diff.abs(), 5)          # SAE Lens
# ```

# %%
other = prompt.replace("heavens", "cat")
a, b = (np.asarray(attached.encode(p))[0, -1] for p in (prompt, other))
differing = contrast(a, b, top=6)
guesses = [lm.tokenizer.decode([int(np.asarray(lm(p))[0, -1].argmax())]) for p in (prompt, other)]
sp.plot.bars({f"heavens and the -> {guesses[0]!r}": differing.a, f"cat and the -> {guesses[1]!r}": differing.b},
             [f"latent {j}" for j in differing.latents], xlabel="Activation on the last token",
             title="The latents that tell the two prompts apart")  # fmt: skip

# %% [markdown]
# ## 6. The strongest examples
#
# From here on we look at one latent, the strongest on the prompt's last token.
#
# ```python
# store = ActivationsStore.from_sae(model, sae, ...)                               # SAE Lens
# sae.encode(cache[sae.cfg.hook_name]); torch.topk(...); make_token_df(tokens)
# ```

# %%
latent = int(f[-1].argmax())
activation = np.asarray(attached.encode(text))[..., latent]
places = np.argwhere(text.usable)
value = activation[text.usable]
for place in np.argsort(-value)[:8]:
    row, at = places[place]
    words = pieces(lm.tokenizer, text.tokens[row])
    left, right = "".join(words[max(at - 6, 1) : at]), "".join(words[at + 1 : at + 5])
    example = isolated(f"{left}[{words[at]}]{right}")
    print(f"{value[place]:6.2f} {text.sources[text.source[row]]:14} {example}")

# %% [markdown]
# ## 7. The histogram of its activations
#
# ```python
# px.histogram(feature_acts[feature_acts > 0], nbins=50)                           # SAE Lens
# ```

# %%
on = value[value > 0]
counts, edges = np.histogram(on, np.linspace(0, value.max(), 13))
sp.plot.bars({"tokens": counts}, [f"{low:.1f} to {high:.1f}" for low, high in pairwise(edges)],
             xlabel="Tokens", title=f"Latent {latent} fires on {len(on) / len(value):.2%} of the tokens")  # fmt: skip

# %% [markdown]
# ## 8. The tokens it promotes
#
# ```python
# sae.W_dec[latent] @ model.W_U                                                    # SAE Lens
# ```


# %%
def label(token):
    """A token for a picture: Arabic and Hebrew in Latin letters, which every font has and no line turns round."""
    shown = piece(lm.tokenizer, int(token))
    return f"{transliterated(shown)!r} in Latin letters" if right_to_left([shown]) else repr(shown)


weights = np.asarray(logit_weights(lm, attached.hook, attached.params["W_dec"][latent]))[0]
ends = np.argsort(-weights)
ends = np.concatenate([ends[:8], ends[-8:]])
sp.plot.bars({"": weights[ends]}, [label(t) for t in ends], xlabel="Logit weight",
             title=f"Latent {latent}: tokens it promotes, and tokens it speaks against")  # fmt: skip

# %% [markdown]
# ## 9. Steer
#
# ```python
# def steering(activations, hook, steering_strength=1.0, steering_vector=None, max_act=1.0):   # SAE Lens
#     return activations + max_act * steering_strength * steering_vector
# with model.hooks(fwd_hooks=[(sae.cfg.hook_name, partial(steering, ...))]): model.generate(...)
# ```

# %%
new = 25  # in the tests: 4
start = "Once upon a time"
for strength in (-4.0, 0.0, 2.0, 4.0):
    steered = attached.steer(latent, strength * float(value.max()))
    print(f"strength {strength:+g}: {isolated(repr(steered.generate(start, new)))}")

# %% [markdown]
# How far is the model from itself? The KL of the next token's distribution grows with the strength in both directions.

# %%
strengths = np.array([-4, -2, -1, 0, 1, 2, 4])
far = [float(attached.steer(latent, float(s * value.max())).effect(prompt).kl[0]) for s in strengths]
sp.plot.doses(strengths, {"KL": far}, ylabel="KL from the model itself, nats",
              title=f"Latent {latent} steered: how far the next token moves")  # fmt: skip

# %% [markdown]
# ## 10. Ablate
#
# ```python
# sae.use_error_term = True                                                        # SAE Lens
# model.add_sae(sae); model.add_hook("blocks.7.hook_resid_pre.hook_sae_acts_post", ablate_feature_hook)
# test_prompt(prompt, answer, model)
# ```
#
# With the **error term** all that the SAE does not explain stays in the activation. Without it, the model runs on the
# reconstruction, and the ablation is mixed up with what the SAE costs.

# %%
for words, edited in (("nothing ablated", attached.edited()),
                      (f"latent {latent} ablated", attached.ablate(latent)),
                      ("the same without the error term", attached.ablate(latent, error_term=False)),
                      ("the SAE alone, nothing ablated", attached.splice())):  # fmt: skip
    effect = edited.effect(prompt)
    after = effect.after
    print(f"{words:32} {guesses[0]!r}: probability {float(after.probability[0]):.3f}, rank {int(after.rank[0])}, "
          f"KL {float(effect.kl[0]):.3f}")  # fmt: skip

# %% [markdown]
# ## 11. Attribute
#
# ```python
# calculate_feature_attribution(model, input, metric_fn, include_saes={hook: sae})  # SAE Lens: 260 lines in the tutorial
# ```
#
# On which latents does the next token's logit rest? Gradient x activation and integrated gradients are estimates, ablating
# each latent is the truth. On the small model both get sizes wrong, integrated gradients more so: the final norm divides what
# is left by its size, and their path runs through activations that are far from any text.

# %%
target = int(np.asarray(lm(prompt))[0, -1].argmax())
found = attached.attribute(prompt, Logit(np.asarray(target)))
heaviest = found.heaviest(10)
gradient, integrated = (np.asarray(a.sum((0, 1)))[heaviest] for a in (found.gradient, found.integrated))
truth = np.asarray(attached.ablation_effects(prompt, Logit(np.asarray(target)), heaviest))
signs = [int((np.sign(a) == np.sign(truth)).sum()) for a in (gradient, integrated)]
sp.plot.bars({"gradient x activation": gradient, "integrated gradients": integrated, "ablated, one by one": truth},
             [f"latent {j}" for j in heaviest], xlabel=f"Part of the logit of {guesses[0]!r}",
             title=f"Signs of {len(heaviest)} effects: gradients get {signs[0]}, integrated gradients {signs[1]}")  # fmt: skip

# %% [markdown]
# Lesson 13 takes this further.
#
# ## 12. The dashboard
#
# ```python
# IFrame("https://neuronpedia.org/gpt2-small/7-res-jb/...")                        # SAE Lens
# ```
#
# Neuronpedia's page of a latent, made here and to be opened without a network: everything above on one page.

# %%
folder = write(Path(mkdtemp()) / "page", *feature_pages(attached, text, features=[latent]))
size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
print(f"{folder.name}/index.html and what belongs to it: {size / 1000:.0f} kB")

# %% [markdown]
# `superposition page --out pages` makes pages of all latents, and lesson 09 reads them.
#
# | SAE Lens | here |
# |---|---|
# | `SAE.from_pretrained(release, id)`, `SAE.load_from_disk(path)` | `sp.load(path)`, `first_available(name)` |
# | `HookedSAETransformer.from_pretrained(name)`, `model.add_sae(sae)` | `sp.LanguageModel.from_hf(name)`, `lm.attach(sae)` |
# | `model.run_with_cache_with_saes(prompt, saes=[sae])` | `attached.encode(prompt)` |
# | `ActivationsStore` | `pack_text`, and `lm_stream` to train on |
# | `run_evals` | `attached.evaluate(text)`, `sp.evaluate(sae, data)` |
# | hooks with `partial(steering, ...)` | `attached.steer(latent, amount)` |
# | `ablate_feature_hook`, `sae.use_error_term` | `attached.ablate(latents, error_term=...)` |
# | `SAE.save_model(path)` | `sp.save(sae, path)`: the same directory, read by both |
