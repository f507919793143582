# %% [markdown]
# # 11 · Steering and ablation
#
# A latent is a claim: *this direction means Hebrew*. The claim is tested by acting on it. We add the direction to the
# model's activations and see what the model writes (**steering**), or take it out and see what is lost (**ablation**).
#
# The lesson has the plan of the Gemma Scope demo: microscope, analyse, steer, problems. Each section has a purpose, a demo,
# something to try, and a warning.
#
# *Slides: steering; ablation; Gemma Scope. About 40 seconds on two cores, and twenty minutes with the exercises.*

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
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from lab import check_ablate, check_selectivity, check_steer

from superposition.interventions import first_available, losses
from superposition.llm.demo import demo_text
from superposition.llm.direct import logit_weights
from superposition.llm.packing import pack_text
from superposition.pages.alphabets import isolated, right_to_left, transliterated
from superposition.pages.pieces import pieces

# %% [markdown]
# ## The model and its SAE
#
# This cell chooses. Where the Hugging Face hub answers, it takes Gemma 2 2B with the Gemma Scope SAE of the demo (11 GB to
# fetch, 12 GB of memory, and the model's terms have to be accepted). Without a network, or with `HF_HUB_OFFLINE=1`, it takes
# the small model and the SAE that come with the library. All other cells are the same.

# %%
attached = first_available("gemma-scope")
lm, sae = attached.lm, attached.sae
print(attached, *attached.notes, sep="\n")

# %% [markdown]
# ## Microscope
#
# **Purpose.** See which latents are active on which token of a text.
#
# **Demo.** A row is a token, a column a latent, a number its activation.

# %%
prompt = "Once upon a time, there was a little girl named Lily."
ids = lm.prompt_ids(prompt)
f = np.asarray(attached.encode([ids]))[0, 1:]  # without BOS
strongest = np.argsort(-f.max(0))[:12]
sp.plot.matrix(f[:, strongest], pieces(lm.tokenizer, ids[1:]), [str(j) for j in strongest],
               title="Each token has its own latents", xlabel="Latent", form="{:.0f}")  # fmt: skip

# %% [markdown]
# **Try this.** Put your own text in place of `prompt`.
#
# **Warning.** The picture shows the twelve latents of the largest activations. On each token more are active:

# %%
print(f"active latents a token: {(f > 0).sum(1).mean():.1f} of {sae.d_sae:,}")

# %% [markdown]
# ## Analyse
#
# **Purpose.** Say what a latent stands for, by a rule and not by eye.
#
# **Demo.** Text of nine kinds. For each kind we take the latents that fire nine times in ten on that kind, and of these the
# one that fires most often.

# %%
kinds = ("arabic", "hebrew", "chinese", "english", "python", "c", "dna", "base64_ascii", "hex")
packed = pack_text(lm.tokenizer, {k: demo_text()[k] for k in kinds}, 64, facts=lm.token_facts)
text = packed.rows(np.concatenate([np.flatnonzero(packed.source == i)[:12] for i in range(len(kinds))]))

f = np.asarray(attached.encode(text))[text.usable]  # (tokens, latents)
kind_of = np.broadcast_to(text.source[:, None], text.usable.shape)[text.usable]
fires = np.stack([(f[kind_of == k] > 0).sum(0) for k in range(len(kinds))])
purity, often = fires / np.maximum(fires.sum(0), 1), fires.sum(0)
pure = {
    kind: np.flatnonzero((purity[k] >= 0.9) & (often >= 20) & (often < 0.1 * len(f)))
    for k, kind in enumerate(kinds)
}
subjects = {kind: int(own[often[own].argmax()]) for kind, own in pure.items() if len(own)}
largest = f.max(0)


# %%
def readable(piece):
    """A token, and Arabic and Hebrew in Latin letters beside it."""
    return f"{isolated(piece)} [{transliterated(piece)}]" if right_to_left([piece]) else piece


latents = list(subjects.values())
weights = np.asarray(logit_weights(lm, attached.hook, attached.params["W_dec"][np.array(latents)]))
promoted = np.argsort(-weights, axis=1)[:, :10]  # the ten tokens that each latent promotes most
for (kind, latent), tokens in zip(subjects.items(), promoted, strict=True):
    k = kinds.index(kind)
    share = fires[k, latent] / (kind_of == k).sum()
    words = ", ".join(readable(lm.tokenizer.decode([t]).strip()) for t in tokens[:4])
    print(f"{kind:13} latent {latent:5}: {purity[k, latent]:4.0%} of its firings, on {share:4.0%} of the kind's tokens; "
          f"promotes {words}")  # fmt: skip

# %% [markdown]
# **Try this.** Cover the first column, read the promoted tokens, and guess the kind. In the Gemma Scope demo this is the
# quiz that opens the next tab.
#
# **Warning.** These latents are pure, but most of them fire on less than half of their kind's tokens. A pure latent is not
# *the* detector of its kind: a kind is spread over many latents. Kinds without any pure latent are missing from the list.
#
# ## Steer
#
# **Purpose.** Write into the activations instead of reading them.
#
# $$h' = h + a\,W_{dec,i}$$
#
# $h$ are the activations that the SAE reads, $W_{dec,i}$ is the direction of latent $i$, and $a$ is the dose. It is given in
# largest activations of the latent, so that strength 1 is as much as the model itself ever does.
#
# **Exercise 1.** Write `steer`. The last axis of `h` is `d_in`; there may be any axes in front of it.


# %% tags=["solution"]
def steer(h, W_dec, latent, amount):
    """Activations (..., d_in) moved by `amount` along the direction of a latent; W_dec is (d_sae, d_in)."""
    return h + amount * W_dec[latent]


# %% tags=["check"]
check_steer(steer)

# %% [markdown]
# **Demo.** Your function at the model's hook point, at four strengths. The prompt is English and the latent Hebrew (or,
# where the SAE has no such latent, the first of the list). `Partial` makes the dose an argument of the compiled program, so
# that a new dose compiles nothing. The second line of each text has Arabic and Hebrew letters in Latin ones.

# %%
latent = subjects.get("hebrew", latents[0])
start = "Once upon a time"
words = 30  # in the tests: 4


def edit(amount, h, context):
    """What is done to the activations at the hook point."""
    return steer(h, attached.params["W_dec"], latent, amount).astype(h.dtype)


for strength in (0, 1, 2, 4):
    edits = {attached.hook: Partial(edit, jnp.float32(strength * largest[latent]))}
    new = lm.generate(start, words, edits=edits)[0]
    added = lm.continuation(lm.prompt_ids(start), new).replace("\n", " ")
    print(f"strength {strength}: {isolated(start + added)}\n{'':12}{transliterated(added)}\n")

# %% [markdown]
# The library's own does the same, and takes the strength as a number that compiles nothing:

# %%
mine = lm(prompt, edits=edits)
theirs = attached.steer(latent, strength * largest[latent]).logits(prompt)
print(f"largest difference of a logit: {np.abs(np.asarray(mine - theirs, np.float32)).max():.1e}")

# %% [markdown]
# ### Dose and response
#
# How much of the latent's meaning comes out? On text of all the *other* kinds we measure the probability of the ten tokens
# that the latent promotes.

# %%
strengths = np.array([-2, -1, -0.5, 0, 0.5, 1, 2])
sets = list(promoted)
answers = {}
for kind, latent in subjects.items():
    rows = np.concatenate(
        [np.flatnonzero(text.source == i)[:2] for i, other in enumerate(kinds) if other != kind]
    )
    answers[kind] = attached.dose_response(text.rows(rows), latent, strengths * largest[latent], sets)

own = {kind: answer.probability.mean[:, i] for i, (kind, answer) in enumerate(answers.items())}
rises = sum(bool((np.diff(p) > 0).all()) for p in own.values())
sp.plot.doses(strengths, own, log=True, ylabel="Probability of the latent's ten tokens",
              title=f"More dose, more response: {rises} of {len(own)} latents rise at every step")  # fmt: skip

# %% [markdown]
# ### Selectivity
#
# Does *only* its own meaning come out? Of each latent we have the change of the log-probability, from strength 0 to 1, of its
# own tokens and of every other latent's.
#
# **Exercise 2.** Write `selectivity`: by how many nats do a latent's own tokens rise above those of the other set that
# rises most?


# %% tags=["solution"]
def selectivity(moved, own):
    """One number, from `moved` (sets,), the changes of all sets of tokens, and the index of the latent's own set."""
    return moved[own] - np.delete(moved, own).max()


# %% tags=["check"]
check_selectivity(selectivity)

# %%
zero, one = list(strengths).index(0), list(strengths).index(1)
moved = np.stack([a.log_probability.mean[one] - a.log_probability.mean[zero] for a in answers.values()])
margins = [float(selectivity(moved[i], i)) for i in range(len(moved))]
selective = sum(margin > 0 for margin in margins)
names = [f"{kind} ({latent})" for kind, latent in subjects.items()]
sp.plot.matrix(moved, names, list(subjects), ylabel="Latent steered", xlabel="Whose tokens",
               title=f"Selective: {selective} of {len(moved)} latents move their own tokens most (nats)")  # fmt: skip

# %% [markdown]
# ### What it costs
#
# **Warning.** Steering is no free wish. It moves every prediction on text that has nothing to do with the latent, and up to
# strength 1 the damage grows faster than the dose.

# %%
costs = {kind: answer.kl.mean for kind, answer in answers.items()}
half = list(strengths).index(0.5)
times = np.median([kl[one] / kl[half] for kl in costs.values()])
sp.plot.doses(strengths, costs, ylabel="KL from the model itself, nats a token",
              title=f"From strength 0.5 to 1 the cost grows {times:.1f} times (median)")  # fmt: skip

# %% [markdown]
# **Try this.** Set the strengths to 8 or 16 above and read the text. Past some dose the model only repeats itself: it is far
# outside of anything it was trained on.
#
# ## Ablate
#
# **Purpose.** Ask the opposite question: does the model *need* the latent?
#
# Setting $f_i$ to 0 takes its part out of the activation, and leaves all else, also what the SAE does not explain (its
# **error term**), as it is:
#
# $$h' = h - f_i\,W_{dec,i}$$
#
# **Exercise 3.** Write `ablate`.


# %% tags=["solution"]
def ablate(h, f, W_dec, latent):
    """Activations h (..., d_in) without a latent; f (..., d_sae) are the latents of h."""
    return h - f[..., latent, None] * W_dec[latent]


# %% tags=["check"]
check_ablate(ablate)

# %% [markdown]
# **Demo.** We ablate all latents that are pure in a kind at once, and measure the loss on every kind of text. `splice` edits the
# latents as a whole: those to be ablated are multiplied by 0, the others by 1.


# %%
def kept(keep, f):
    """Latents f (..., d_sae), some of them set to 0."""
    return f * keep


before = losses(lm, text)
rise = []
for kind in subjects:
    keep = jnp.ones(sae.d_sae).at[pure[kind]].set(0)
    after = losses(lm, text, attached.splice(Partial(kept, keep), error_term=True).edits)
    rise.append([after[k] - before[k] for k in kinds])
rise = np.array(rise)
hits = sum(kinds[int(row.argmax())] == kind for row, kind in zip(rise, subjects, strict=True))
sp.plot.matrix(rise, [f"{kind} ({len(pure[kind])})" for kind in subjects], list(kinds), form="{:+.2f}",
               ylabel="Ablated (how many latents)", xlabel="Text",
               title=f"Ablation hurts where it should: {hits} of {len(rise)} on the own kind (nats a token)")  # fmt: skip

# %% [markdown]
# **Deep dive.** One latent alone. Which of the latents that are active on the last token does the next prediction rest on?

# %%
active = np.flatnonzero(np.asarray(attached.encode([ids]))[0, -1])
alone = [attached.ablate(int(j)).effect(prompt) for j in active]
change = np.array([float(e.after.probability[0] - e.before.probability[0]) for e in alone])
most = int(np.abs(change).argmax())
print(f"probability of the likeliest next token: {float(alone[0].before.probability[0]):.3f}")
print(f"without latent {active[most]}: {change[most]:+.3f}; without another of the {len(active)} active ones: "
      f"{np.median(np.abs(change)):.3f} up or down (median)")  # fmt: skip
bare = attached.ablate(int(active[most]), error_term=False).effect(prompt).after.probability[0]
print(
    f"without latent {active[most]} and without the error term: {float(bare - alone[0].before.probability[0]):+.3f}"
)

# %% [markdown]
# ## Problems
#
# What you have seen here, and have to say when you report such results:
#
# * **The direction is chosen by what it promotes, and judged by what it promotes.** With few layers behind the hook point that
#   is nearly arithmetic. The stronger test is what the generated text becomes.
# * **Every direction does something.** Compare with other latents, as in the matrix, never with nothing. On the small model
#   the Hebrew latent raises the tokens of the Chinese one as well: that latent promotes Hebrew and Cherokee tokens.
# * **Negative strength is not ablation.** It pushes the model beyond *none of it* to where no text has ever been.
# * **Ablating most single latents changes little.** Groups show more, but a group is chosen by a rule, which has to be told.
#
# **Next.** Lesson 12 walks through SAE Lens's tutorial, and lesson 13 asks which latents a prediction rests on. The experiments
# `steering` and `ablation` do all this with seeds and more text.
