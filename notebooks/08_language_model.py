# %% [markdown]
# # 08 · A language model: Arabic, Hebrew, neurons and latents
#
# Toy models have features because we put them there. Does a language model have them, too? Here its neurons and the latents
# of a sparse autoencoder (SAE) are asked for two features that anybody can check: the token is Arabic script, the token is
# Hebrew script.
#
# *Slide: Arabic/Hebrew, no single neuron. About 40 seconds on two cores, and twenty minutes with the exercises.*

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
import json

import numpy as np
from lab import check_average_precision, check_share_of_top

from superposition.llm.demo import demo_text
from superposition.llm.packing import pack_text

# %% [markdown]
# ## The model and its text
#
# The model that comes with the library has one layer, as in *Towards Monosemanticity* (Bricken et al. 2023). The text is our
# own: plain sentences in many languages, generated formats, and code. The model was not trained on any of it.

# %%
lm = sp.LanguageModel.from_hf()
hook = "blocks.0.mlp.hook_post"  # the neurons, after their ReLU
size = 8_000  # in the tests: 2_000
tokens = pack_text(lm.tokenizer, demo_text(size=size), lm.spec.n_ctx, facts=lm.token_facts)
neurons = np.asarray(lm.run_with_cache(tokens.tokens, [hook], stop_at_layer=1)[1][hook])[tokens.usable]
script = sp.pages.scripts(lm.tokenizer, tokens.tokens)[tokens.usable]
print(f"{neurons.shape[1]} neurons on {len(neurons):,} tokens")
print({name: int((script == name).sum()) for name in ("latin", "arabic", "hebrew", "cjk", "cherokee")})

# %% [markdown]
# Each token has the script of its last character. Punctuation, digits and spaces belong to all scripts and are left out.
#
# - Arabic: <bdi dir="rtl" lang="ar">عدت البنت القوارب في الميناء.</bdi> (*ʿaddat al-bintu l-qawāriba fī l-mīnāʾ*)
# - Hebrew: <bdi dir="rtl" lang="he">הילדה ספרה את הסירות בנמל.</bdi> (*ha-yalda safra et ha-sirot ba-namal*)
# - in English, both: The girl counted the boats in the harbour.
#
# Neurons are chosen on every other row of the text and judged on the rest: the best of hundreds is flattered by the
# text that it was chosen on.

# %%
odd = np.broadcast_to(np.arange(len(tokens.tokens))[:, None] % 2, tokens.tokens.shape)[tokens.usable] == 1
choose, judge = (script != "") & ~odd, (script != "") & odd
rarity = 0.003  # a script's share of the text, as it might be on the web
arabic = sp.metrics.average_precision(neurons[choose], script[choose] == "arabic", share=rarity)
best = int(arabic.argmax())
sp.plot.fired_on(
    {f"neuron {best}": (neurons[judge][:, best], script[judge] == "arabic")},
    "Arabic",
    share=rarity,
    title=f"Of all neurons, neuron {best} detects Arabic script best: what it fires on",
)

# %% [markdown]
# The number over a bar says how many tokens it stands for. Tokens are weighed so that Arabic is 0.3 % of the text, since our
# demonstration text has far more of it than the world has: at 0.3 % even rare mistakes on other text outnumber the Arabic.
#
# ## The claim
#
# > **On the slide, in our words:** there are features for Arabic and for Hebrew. No single neuron fires on all such text, and
# > the strongest examples of neurons that do fire on it contain none of it.
#
# In Bricken's model, Arabic was 0.13 % of the training text. The toy models (notebooks 02 and 03) say that this matters: a
# feature that is rare is stored in superposition, and one that is not gets a dimension of its own. So look first at what
# this model was trained on.

# %%
weights = json.loads((lm.folder / "training.json").read_text(encoding="utf-8"))["weights"]
shares = {name: sum(w for source, w in weights.items() if name in source) for name in ("arabic", "hebrew")}
for name, share in shares.items():
    if share > 0.01:
        expected = "common: the theory expects neurons of its own, and that the slide's claim fails in part"
    else:
        expected = "rare: the theory expects superposition, and that the slide's claim holds"
    print(f"{name}: {share:.1%} of the training text, {expected}")

# %% [markdown]
# Bear this in mind in what follows. Where a script is common in a model's training text, this model is the wrong one for the
# slide, and finding neurons for it is what the theory predicts.
#
# ## The strongest examples
#
# **Exercise 1.** Write `share_of_top`: of the `n` tokens on which a unit fires most strongly, the share that is in a script. A
# unit fires where its activation is above 0. If it fires on fewer than `n` tokens, those are all there are, and a unit that
# never fires has share 0.


# %% tags=["solution"]
def share_of_top(activation, in_script, n):
    """One number. activation (tokens,); in_script (tokens,), True or False."""
    order = np.argsort(-activation)[:n]
    top = order[activation[order] > 0]
    return in_script[top].mean() if len(top) else 0.0


# %% tags=["check"]
check_share_of_top(share_of_top)

# %%
known = script != ""
units = neurons[known].T
hidden = {}
for name in ("arabic", "hebrew"):
    right = script[known] == name
    fires = (units[:, right] > 0).mean(1)
    top = np.array([share_of_top(neuron, right, 20) for neuron in units])
    some = fires > 1 / 3
    hidden[name] = some.sum(), (top[some] == 0).sum(), int(np.where(top == 0, fires, -1).argmax())
    print(f"{name}: {some.sum()} of {len(top)} neurons fire on more than a third of its tokens")
    print(f"   {(top[some] == 0).sum():3} of these have no {name} at all among their 20 strongest tokens")
    print(f"   {(top[some] >= 0.9).sum():3} of these have little else there (18 of 20 or more)")

# %% [markdown]
# Of all neurons without any of the script among their strongest examples, look at the one that fires on most of the script.
# Whoever reads its examples never learns that it takes part in the script at all.

# %%
for name in ("hebrew", "arabic"):
    neuron = hidden[name][2]
    share = (neurons[script == name, neuron] > 0).mean()
    print(f"Neuron {neuron} fires on {share:.0%} of the {name} tokens. Its strongest examples:")
    print(sp.pages.strongest(lm.tokenizer, tokens, neurons[:, neuron], 4), "\n")

# %% [markdown]
# ## How good a detector is a neuron?
#
# Line the tokens up, strongest first. At each token of the script, ask which share of the tokens so far is in the script: this
# is the **precision** there. Its mean over all tokens of the script is the **average precision**: 1 for a perfect detector, and
# about the script's rarity for one that knows nothing.
#
# **Exercise 2.** Write `average_precision`. Weigh the tokens, so that all tokens of the script together weigh `rarity`, and all
# others together `1 - rarity`. Shares are then shares of weight. A token of the script on which the unit is silent is never
# found, and counts with precision 0.


# %% tags=["solution"]
def average_precision(activation, in_script, rarity):
    """One number. activation (tokens,); in_script (tokens,), True or False."""
    weight = np.where(in_script, rarity / in_script.sum(), (1 - rarity) / (~in_script).sum())
    order = np.argsort(-activation)
    hit = in_script[order]
    precision = np.cumsum(weight[order] * hit) / np.cumsum(weight[order])
    found = hit & (activation[order] > 0)
    return precision[found].sum() / in_script.sum()


# %% tags=["check"]
check_average_precision(average_precision)

# %%
right = script[judge] == "arabic"
print(f"neuron {best}, yours:          {average_precision(neurons[judge][:, best], right, rarity):.3f}")
print(
    f"neuron {best}, the library's: {sp.metrics.average_precision(neurons[judge][:, [best]], right, share=rarity)[0]:.3f}"
)

# %% [markdown]
# ## Latents, and several units together
#
# The SAE that comes with the library was trained on these neurons. If one unit does not tell, a few together may: a linear
# read-out of the best 2, 4, 8, ... of them, and of all neurons. If all neurons together read the script, then it *is* a feature
# of the model, a direction, whether or not any neuron points along it.

# %%
attached = lm.attach(sp.load("superposition/small-lm-sae"))
latents = sp.interventions.activations_of(attached, tokens, range(attached.sae.d_sae))
attached


# %%
def read_out(x, right, columns):
    """Fit the right answer linearly (ridge regression, both answers weighed alike) on `choose`; score the rest."""
    z = np.c_[x[:, columns], np.ones(len(x))]
    a, y = z[choose], right[choose]
    w = np.where(y, 0.5 / y.mean(), 0.5 / (1 - y.mean()))[:, None]
    ridge = 0.01 * len(a) * np.diag(np.r_[a[:, :-1].var(0) + 1e-6, 0])
    return z[judge] @ np.linalg.solve((a * w).T @ a + ridge, (a * w).T @ y)


counts = (1, 2, 4, 8, 16, 64)
panels, chosen = {}, {}
for name in ("arabic", "hebrew"):
    right, panels[name.capitalize()] = script == name, {}
    for kind, x in (("neurons", neurons), ("latents", latents)):
        alone = sp.metrics.average_precision(x[choose], right[choose], share=rarity)
        order = np.argsort(-alone)
        chosen[name, kind] = int(order[0])
        sizes = (*counts, x.shape[1]) if kind == "neurons" else counts
        scores = [x[judge][:, order[0]], *(read_out(x, right, order[:n]) for n in sizes[1:])]
        values = sp.metrics.average_precision(np.stack(scores, 1), right[judge], share=rarity)
        panels[name.capitalize()][kind] = dict(zip(sizes, values.tolist(), strict=True))
alone = " and ".join(f"{curves['neurons'][1]:.2f}" for curves in panels.values())
sp.plot.detection(
    panels,
    chance=rarity,
    title=f"Average precision of the best neuron {alone}; several units read together do better",
)

# %% [markdown]
# Read the leftmost points for the slide's claim, and the rightmost point of the neurons for whether there is a feature. The
# steeper the neurons' curve at its beginning, the less the script is in superposition.

# %%
holds = {True: "holds:         ", False: "does not hold: "}
for name in ("arabic", "hebrew"):
    curves = panels[name.capitalize()]
    one, latent = curves["neurons"][1], curves["latents"][1]
    together = list(curves["neurons"].values())[-1]
    few = min((n for n, value in curves["neurons"].items() if value > 0.9), default="no number of them")
    some, without, _ = hidden[name]
    print(f"{name.capitalize()}, {shares[name]:.1%} of the training text")
    print(
        f"   {holds[together > 0.9]}there is a feature (all neurons together {together:.2f}; {few} reach 0.9)"
    )
    print(f"   {holds[one < 0.4]}no single neuron detects it (the best one {one:.2f}; the bar is 0.4)")
    print(
        f"   {holds[without > some / 2]}neurons that fire on it hide it ({without} of {some}; the bar is half)"
    )
    print(f"   {holds[latent > one]}a single latent is a better detector ({latent:.2f})")

# %% [markdown]
# ## The same two units, by how strongly they fire

# %%
name = "hebrew"
units = {f"neuron {chosen[name, 'neurons']}": neurons, f"latent {chosen[name, 'latents']}": latents}
sp.plot.fired_on(
    {unit: (x[judge][:, int(unit.split()[1])], script[judge] == name) for unit, x in units.items()},
    name.capitalize(),
    share=rarity,
    title="The best neuron and the best latent for Hebrew script, by how strongly they fire",
)

# %%
sp.pages.strongest(lm.tokenizer, tokens, latents[:, chosen["hebrew", "latents"]], 6)

# %%
sp.pages.strongest(lm.tokenizer, tokens, latents[:, chosen["arabic", "latents"]], 6)

# %% [markdown]
# Beneath each line stand its letters in Latin ones; vowels are not written. What do the framed tokens have in common, beyond
# their script? Where a script is common, a wide SAE **splits** it into several latents, each of which fires on one part of it,
# such as the beginnings of words. Alone, such a latent misses the rest, and together they find it: the latents' curve
# starts low and rises fast.
#
# So the slide's claim has a condition: the script must be rare in the model's training text. Where it is not, single neurons
# do fire on it, as the theory says they should, and what is left of the claim is that some neurons which fire on much of a
# script hide it from whoever reads their strongest examples. The numbers here are of a few hundred tokens of our own
# sentences. The experiment `no_single_neuron` has more text, several SAEs, and other scripts.
