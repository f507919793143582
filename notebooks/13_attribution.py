# %% [markdown]
# # 13 · Attribution and transcoders
#
# Why did the model say *that*? **Attribution** shares a number of the model's output, such as a logit, among latents or among
# the tokens of the prompt. **Ablation** is the truth that it is held against: take the latent out, and see what the number
# loses. A **transcoder** goes one step further. It stands in place of the MLP, so that the way from a token through a latent to
# a logit can be read off its weights.
#
# *Slides: ablation; SAE Lens. About 50 seconds on two cores.*

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
from jax.tree_util import Partial
from scipy.stats import rankdata

from superposition.interventions import At, Attached, Logit, Replace, attach_transcoder
from superposition.llm.demo import demo_text
from superposition.llm.direct import logit_weights
from superposition.llm.packing import pack_text
from superposition.llm.stream import lm_stream
from superposition.llm.tokens import token_array
from superposition.pages.alphabets import right_to_left, transliterated
from superposition.pages.pieces import piece, pieces

# %% [markdown]
# ## 1. A number, and what it rests on
#
# After this prompt the small model says *Lily*. Our number $m$ is how far the logit of *Lily* lies above that of *Tim*.
# The latents are those of the SAE on its neurons that comes with the library.
#
# $$\text{gradient} \times \text{activation}_i = f_i\,\frac{\partial m}{\partial f_i}, \qquad
#   \text{ablation}_i = m(f) - m(f \text{ with } f_i = 0)$$
#
# The first takes one gradient for all latents, the second one run of the model a latent.

# %%
lm = sp.LanguageModel.from_hf()
attached = lm.attach(sp.load("superposition/small-lm-sae"))
prompt = "Once upon a time, there was a little girl named"
lily, tim = (lm.token_ids(name)[0] for name in (" Lily", " Tim"))
number = Logit(np.asarray(lily), np.asarray(tim))

found = attached.attribute(prompt, number)
f = np.asarray(found.latents)[0, -1]
active = np.argsort(-f)[:16]
gradient = np.asarray(found.gradient)[0, -1][active]
ablated = np.asarray(attached.ablation_effects(prompt, number, active))
order = np.argsort(-np.abs(ablated))[:10]
same = int((np.sign(gradient) == np.sign(ablated)).sum())
sp.plot.bars({"gradient x activation": gradient[order], "ablated, one by one": ablated[order]},
             [f"latent {j}" for j in active[order]], xlabel="Part of logit(Lily) - logit(Tim)",
             title=f"Attribution and ablation agree in sign for {same} of 16 latents")  # fmt: skip

# %% [markdown]
# ## 2. Where they are the same, and where they are not
#
# Gradient x activation is a straight line laid along $m$. It is exact where $m$ *is* a straight line in the latents. Behind
# the neurons of this model come the matrix $W_{out}$, a sum, the final norm, and the unembedding: everything is linear but the
# norm. So we can switch the non-linearity off, and read the residual stream in front of the norm along the same direction:

# %%
v = (lm.params["embed.W"][lily] - lm.params["embed.W"][tim]) * lm.params["ln_final.w"]
line = Partial(lambda v, x: (x[:, -1] @ v).sum(), v - v.mean())  # the norm takes the mean out
before_norm = {"at": "blocks.0.hook_resid_post"}
straight = np.asarray(attached.attribute(prompt, line, **before_norm).gradient)[0, -1][active]
truth = np.asarray(attached.ablation_effects(prompt, line, active, **before_norm))
for where, a, b in (("in front of the norm", straight, truth), ("behind the norm", gradient, ablated)):
    print(f"{where:20}  effects up to {np.abs(b).max():.2f}, largest error {np.abs(a - b).max():.1g}")

# %% [markdown]
# The first is exact up to rounding. What is left is the norm, which divides by the size of the whole residual stream: a
# latent that is taken out makes the stream smaller, and so all other parts count more.
#
# **Direct logit attribution** freezes the norm: a latent's part is its activation, times what its direction writes to the two
# logits, over the norm's scale as it was. No gradient is needed, and no second run. The three, on 24 prompts from our own
# text, for the likeliest token against the second:

# %%
kinds = ("arabic", "hebrew", "chinese", "english", "python", "c", "dna", "base64_ascii", "hex")
packed = pack_text(lm.tokenizer, {k: demo_text()[k] for k in kinds}, 64, facts=lm.token_facts)
text = packed.rows(np.concatenate([np.flatnonzero(packed.source == i)[:12] for i in range(len(kinds))]))
n_prompts = 24  # in the tests: 2
writes = np.asarray(logit_weights(lm, attached.hook, attached.params["W_dec"]))  # (latents, d_vocab)
estimates = {"gradient x activation": [], "direct, norm frozen": [], "ablated": []}
for row in text.tokens[np.linspace(0, len(text.tokens) - 1, n_prompts).astype(int), :32]:
    logits, seen = lm.run_with_cache([row], ["ln_final.hook_scale"])
    first, second = np.argsort(-np.asarray(logits)[0, -1])[:2]
    pair = Logit(np.asarray(first), np.asarray(second))
    one = attached.attribute([row], pair, steps=1)
    f = np.asarray(one.latents)[0, -1]
    top = np.argsort(-f)[:16]
    scale = float(seen["ln_final.hook_scale"][0, -1, 0])
    estimates["gradient x activation"] += list(np.asarray(one.gradient)[0, -1][top])
    estimates["direct, norm frozen"] += list(f[top] * (writes[top, first] - writes[top, second]) / scale)
    estimates["ablated"] += list(np.asarray(attached.ablation_effects([row], pair, top)))
agreement = {}
for name in list(estimates)[:2]:
    a, b = np.array(estimates[name]), np.array(estimates["ablated"])
    agreement[name] = np.corrcoef(a, b)[0, 1], (np.sign(a) == np.sign(b))[np.abs(b) > 0.05].mean()
    print(f"{name:22} correlation with ablation {agreement[name][0]:.3f}, sign right for {agreement[name][1]:.0%} "
          "of effects over 0.05")  # fmt: skip

# %% [markdown]
# This is the kindest case: nothing but a norm behind the latents. In a deeper model attention patterns and later MLPs lie between
# a latent and the logit, and only ablation is the truth.
#
# ## 3. Which tokens of the prompt?
#
# The SAE cannot say: in one layer, a neuron at an earlier token reaches no later logit. But the same attribution works at any
# hook point. `Identity` is an SAE whose latents are the activations themselves. At the embedding it shares $m$ among the 128
# numbers of every token, and we add these up by token. Ablation sets a token's embedding to zero.

# %%
numbers = sp.Identity(d_in=128, d_sae=128)
embedding = Attached(lm, "hook_embed", numbers, numbers.init_params(jax.random.key(0)))
ids = lm.prompt_ids(prompt)
names = ["BOS", *pieces(lm.tokenizer, ids[1:])]
by_token = embedding.attribute(prompt, number)
gradient_of_token, path_of_token = (np.asarray(a)[0].sum(-1) for a in by_token[1:3])
whole = float(number(lm(prompt)))
places = jnp.arange(len(ids))[None]
gone = [lm(prompt, edits={"hook_embed": At(Replace(0.0), places == i)}) for i in range(len(ids))]
effect_of_token = whole - np.array([float(number(logits)) for logits in gone])
token_agreement = [np.corrcoef(a, effect_of_token)[0, 1] for a in (gradient_of_token, path_of_token)]
sp.plot.bars({"gradient x activation": gradient_of_token, "integrated gradients": path_of_token,
              "embedding set to zero": effect_of_token}, names, xlabel="Part of logit(Lily) - logit(Tim)",
             title=f"By token, a gradient agrees less: correlation with ablation {token_agreement[0]:.2f}")  # fmt: skip

# %% [markdown]
# **Integrated gradients** average the gradient on the straight way from zero to the activation. They add up to the whole
# difference, which a single gradient does not.

# %%
rest = float(by_token.metric - by_token.at_baseline)
print(
    f"m - m(all embeddings zero) = {rest:.2f}; integrated gradients add up to {path_of_token.sum():.2f}, "
    f"gradient x activation to {gradient_of_token.sum():.2f}, single ablations to {effect_of_token.sum():.2f}"
)
print(f"correlation with ablation: gradient {token_agreement[0]:.2f}, integrated {token_agreement[1]:.2f}")  # fmt: skip

# %% [markdown]
# Why does the gradient add up to nothing? The norms undo it when all embeddings grow by one percent, and that is what the sum
# asks. And adding up is not being right: two tokens may do the same work, and then neither is missed alone.
#
# ## 4. A transcoder, trained here
#
# An SAE reconstructs what it reads. A transcoder reads the MLP's *input* $x$ and predicts its *output* $y$:
#
# $$f = \mathrm{TopK}(x W_{enc} + b_{enc}), \qquad \hat y = f W_{dec} + b_{dec}$$
#
# `target` names the second hook point, and the rest is as for an SAE. We need text like that which the model was trained on, and
# let the model write it.

# %%
rows = 640  # in the tests: 32
drawn = np.asarray(lm.generate(np.zeros((rows, 1), int), 63, key=jax.random.key(0), temperature=1.0))
drawn = np.concatenate([np.zeros((rows, 1), int), drawn], 1)
own = token_array(drawn, vocab=lm.spec.d_vocab, facts=lm.token_facts)
reads, predicts = "blocks.0.ln2.hook_normalized", "blocks.0.hook_mlp_out"

# %%
steps = 800  # in the tests: 5
stream = lm_stream(jax.random.key(0), lm, own, reads, target=predicts)
trained = sp.fit(sp.SAERun(sp.TopK(d_sae=512, k=16), stream, sp.Adam(1e-2), steps=steps, batch_size=512))
transcoder = attach_transcoder(lm, trained, reads, predicts)
transcoder

# %% [markdown]
# Its score on other text: the share of the output's variance that it misses, and how well the model does with the transcoder in
# place of the MLP. 100 % recovered is the model itself, 0 % the model with an MLP of zeros.

# %%
score = transcoder.evaluate(text).numbers
print(f"{score['l0']:.1f} of 512 latents active; {score['fvu']:.1%} of the variance missed")
print(f"loss {score['ce']:.2f} with the MLP, {score['ce_spliced']:.2f} with the transcoder, {score['ce_zero']:.2f} with zeros: "
      f"{score['ce_recovered']:.0%} recovered")  # fmt: skip

# %% [markdown]
# ## 5. The circuit in its weights
#
# What reaches a latent of the transcoder? In front of the MLP the residual stream is a sum: the token's embedding, its position,
# and what the heads of attention bring. So the connection from token $t$ to latent $j$, and from latent $j$ to the logit of
# token $u$, are products of weights, up to the norms' scales. They hold for every prompt: they are **input-independent**.
#
# $$\text{read}_{tj} = W_E[t]\, W_{enc}[:, j] \;+\; \sum_h a_h\, \mathrm{ln}(W_E[t])\, W_V^h W_O^h\, W_{enc}[:, j],
#   \qquad \text{write}_{ju} = W_{dec}[j]\, W_U[:, u]$$
#
# $a_h$ is how much head $h$ attends to its own token, on average. An SAE on the neurons has no such first half, because the
# neurons' ReLUs lie between its latents and the token.

# %%
W_enc, b_enc, W_dec = (np.asarray(trained.params[name]) for name in ("W_enc", "b_enc", "W_dec"))
W_E, W_O = np.asarray(lm.params["embed.W"]), np.asarray(lm.params["blocks.0.attn.W_O"]).reshape(4, 32, 128)
W_V = np.asarray(lm.params["blocks.0.attn.W_V"]).reshape(128, 4, 32)
centred = W_E - W_E.mean(1, keepdims=True)
normed = centred / centred.std(1, keepdims=True) * np.asarray(lm.params["blocks.0.ln1.w"])
by_head = np.einsum("td,dhe,hem->htm", normed, W_V, W_O)  # what each head writes for each token
by_head -= by_head.mean(2, keepdims=True)
pattern = np.asarray(lm.run_with_cache(text.tokens, ["attn.hook_pattern"])[1]["attn.hook_pattern"])
late = pattern[:, :, 8:, 8:]  # from the ninth position on
itself = np.diagonal(late, axis1=2, axis2=3).mean((0, 2))  # (heads,)
both_read = (centred + np.einsum("h,htm->tm", itself, by_head)) @ W_enc  # (d_vocab, latents)
read = {"embedding": centred @ W_enc, "embedding and heads": both_read}
write = np.asarray(logit_weights(lm, predicts, W_dec))  # (latents, d_vocab)
print("each head's attention to its own token:", itself.round(2))

# %% [markdown]
# Do these weights say when a latent fires? The measure is the area under the ROC curve: how often a token on which the latent
# fires has a larger weight than one on which it does not (0.5 is chance).

# %%
f = np.asarray(transcoder.encode(text.tokens))[text.usable]  # (tokens, latents)
at_token, often = text.tokens[text.usable], (f > 0).sum(0)
living = np.flatnonzero(often >= 20)


def area(weights, fires):
    """Area under the ROC curve of weights (tokens,) as a sign of `fires` (tokens,)."""
    return (rankdata(weights)[fires].mean() - (fires.sum() + 1) / 2) / (~fires).sum()


areas = {name: np.array([area(w[at_token, j], f[:, j] > 0) for j in living]) for name, w in read.items()}
others = zip(np.roll(living, 1), living, strict=True)
areas["another latent's"] = np.array([area(both_read[at_token, k], f[:, j] > 0) for k, j in others])
for name, values in areas.items():
    print(f"{name:25} {np.median(values):.2f} (median of {len(living)} latents that fire 20 times or more)")

# %% [markdown]
# The embedding alone says little: the stream holds ten times as much that attention has brought. In this model a head looks
# at its own token and rewrites it, and that path is the circuit. Of the latents that fire on under 3 % of the tokens, the
# eight that the weights tell best, with the tokens that each reads and those that it writes (Arabic and Hebrew in Latin letters):

# %%
frequent = np.bincount(own.tokens[own.usable], minlength=lm.spec.d_vocab) >= min(5, rows // 8)


def shown(token):
    """A token, Arabic and Hebrew in Latin letters."""
    one = piece(lm.tokenizer, int(token))
    return repr(transliterated(one) if right_to_left([one]) else one)


def strongest(weights, n):
    """The tokens of largest weight (d_vocab,), of those that are frequent."""
    return ", ".join(shown(t) for t in np.argsort(-np.where(frequent, weights, -np.inf))[:n])


rare = often[living] < 0.03 * len(f)
for j in living[rare][np.argsort(-areas["embedding and heads"][rare])[:8]]:
    print(f"latent {j:3}  {strongest(both_read[:, j], 6):42} -> {strongest(write[j], 6)}")

# %% [markdown]
# ## 6. One case, with all numbers
#
# After *my* the model may say *self*. Which latent of the transcoder does most for it, against the *m* of another word, and what
# makes that latent fire? With attention's pattern and the norm's scale as they are in this run, the sum is exact.

# %%
case = "I can do it by my"
ids = lm.prompt_ids(case)
names = ["BOS", *pieces(lm.tokenizer, ids[1:])]
word, instead = lm.token_ids("self")[0], lm.token_ids(" m")[0]
hooks = ["attn.hook_pattern", "attn.hook_v", "ln2.hook_scale", "ln_final.hook_scale"]
pattern, v, scale, final = (np.asarray(lm.run_with_cache([ids], hooks)[1][name])[0] for name in hooks)
f = np.asarray(transcoder.encode([ids]))[0, -1]
direct = f * (write[:, word] - write[:, instead]) / final[-1]
best = int(direct.argmax())

brought = np.einsum("hs,shd,hdm->sm", pattern[:, -1], v, W_O)  # by attention, from each token
sources = jnp.stack(
    [W_E[ids[-1]], lm.params["pos.W"][len(ids) - 1], *brought, lm.params["blocks.0.attn.b_O"]]
)
into = np.array(sources - sources.mean(1, keepdims=True)) @ W_enc[:, best] / scale[-1, 0]
into[-1] += b_enc[best]
labels = [f"the token itself, {names[-1]}", "its position", *(f"attention from {n}" for n in names), "biases"]
print(f"latent {best} fires {f[best]:.3f}; its parts add up to {into.sum():.3f}")
print(f"reads {strongest(both_read[:, best], 6)} -> writes {strongest(write[best], 6)}")
largest = np.argsort(-np.abs(into))[:8]
sp.plot.bars({"": into[largest]}, [labels[i] for i in largest], xlabel=f"Part of the pre-activation of latent {best}",
             title=f"What makes latent {best} fire on {names[-1].strip()!r}")  # fmt: skip


# %%
def without(latent, f):
    """Latents f (..., d_sae) with one at 0."""
    return f.at[..., latent].set(0.0)


pair = Logit(np.asarray(word), np.asarray(instead))
before = float(pair(lm(case)))
after = float(pair(transcoder.logits(case, Partial(without, best), error_term=True)))
print(f"logit(self) - logit(m) is {before:.2f}; direct part of latent {best}: {direct[best]:.2f}; "
      f"without the latent it is {after:.2f}, {before - after:.2f} less")  # fmt: skip

# %% [markdown]
# ## What this does not show
#
# * **The transcoder is not the MLP.** What it misses stays in an error term, which has no latents and no explanation.
# * **Attention is frozen.** We say what a token brings, not why attention looks there: patterns depend on the prompt.
# * **TopK is a contest.** A latent fires if its pre-activation is among the 16 largest, so that others decide, too.
# * **The norm's scale is frozen**, and so the parts of a logit are not what ablation gives, as in section 2.
# * **Estimates are for looking, ablations for claiming.** Say which one a number is.
#
# **Try this.** Take `" Tim"` and a prompt about a boy. Or train the transcoder with 64 latents, and see which circuit is left.
#
# **The end of the course.** The table of the lessons says what each slide is shown by. Deeper models have a transcoder in each
# layer and graphs of such circuits: Dunefsky et al. 2024, *Transcoders Find Interpretable LLM Feature Circuits*.
