# %% [markdown]
# # 09 · Reading feature pages
#
# What does a latent mean? One looks at the text on which it fires most strongly, guesses a rule, and tests the rule on
# text that was not looked at. You do all three here, and then see the page that the library makes of a latent.
#
# *Slide: feature pages, maximally activating examples. About 30 seconds on two cores, and twenty minutes with the exercises.*

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
from lab import apply_rule, check_rule, check_scores, latent_to_read

from superposition.llm.demo import demo_text
from superposition.llm.packing import pack_text
from superposition.pages.llm import feature_pages
from superposition.pages.pieces import pieces

# %% [markdown]
# ## A latent and its strongest examples
#
# The text is our own, of which the model and the sparse autoencoder (SAE) were trained on none. Every other row is for
# reading; the rest is put away for the test.

# %%
lm = sp.LanguageModel.from_hf()
attached = lm.attach(sp.load("superposition/small-lm-sae"))
size = 20_000  # in the tests: 12_000
kinds = ("english", "french", "german", "spanish", "json", "python", "c")
text = {kind: documents for kind, documents in demo_text(size=size).items() if kind in kinds}
tokens = pack_text(lm.tokenizer, text, lm.spec.n_ctx, facts=lm.token_facts)
words = np.array([pieces(lm.tokenizer, row) for row in tokens.tokens], dtype=object)
latents = sp.interventions.activations_of(attached, tokens, range(attached.sae.d_sae))
latent = latent_to_read(latents, words[tokens.usable])
activation = np.zeros(tokens.tokens.shape)
activation[tokens.usable] = latents[:, latent]

reading, testing = slice(0, None, 2), slice(1, None, 2)
to_read = tokens.rows(reading)
strength = activation[reading][to_read.usable]
print(f"latent {latent}, {len(strength):,} tokens to read")
sp.pages.strongest(lm.tokenizer, to_read, strength, 8)

# %% [markdown]
# Orange is the latent's activation, and the framed token is the one that the line is there for. ↵ is a line break.
#
# > **On the slide, in our words:** a feature is read by its maximally activating examples.
#
# The strongest examples are only one end of a latent. Here are the strongest of those on which it fires with less than half of
# its largest activation:

# %%
sp.pages.strongest(lm.tokenizer, to_read, np.where(strength < strength.max() / 2, strength, 0), 8)

# %% [markdown]
# ## How good is a rule?
#
# A rule says of each token whether the latent fires on it. Its **precision** is the share of its yeses on which the latent does
# fire, its **recall** the share of the latent's firings to which it says yes, and
# $$F_1 = \frac{2\,P\,R}{P + R}$$
# is high only if both are.
#
# **Exercise 1.** Write `scores`. Where there is nothing to divide by, a score is 0.


# %% tags=["solution"]
def scores(says, fires):
    """Precision, recall and F1, of arrays of True and False of one shape."""
    both = (says & fires).sum()
    precision = both / says.sum() if says.any() else 0.0
    recall = both / fires.sum() if fires.any() else 0.0
    f1 = 2 * precision * recall / (precision + recall) if both else 0.0
    return precision, recall, f1


# %% tags=["check"]
check_scores(scores)

# %% [markdown]
# ## Your rule
#
# **Exercise 2.** Write `rule`. `token` is a token as you see it above, spaces and capitals included, and `before` is the list of
# the tokens before it in its text, which is empty at the beginning. The check wants $F_1 \ge 0.7$ on the text to read, and
# says where the rule goes wrong. Look at both tables: a rule from the strongest examples alone may miss a part.


# %% tags=["solution"]
def rule(before, token):
    """True where the latent fires, by your reading."""
    return token.strip().lower() == "the"


# %% tags=["check"]
check_rule(rule, words[reading], (activation > 0)[reading])

# %% [markdown]
# ## The test
#
# The rule is now judged on the text that was put away. If it does much worse there, it was fitted to the examples.

# %%
names = {"text to read": reading, "text put away": testing}
for name, part in names.items():
    says, fires = apply_rule(rule, words[part]), (activation > 0)[part]
    precision, recall, f1 = scores(says, fires)
    print(f"{name}: precision {precision:.2f}, recall {recall:.2f}, F1 {f1:.2f}  ({fires.sum()} firings)")


# %%
def common(where):
    """The tokens that are most often at these places."""
    found, count = np.unique(words[testing][where].astype(str), return_counts=True)
    return ", ".join(f"{str(found[i])!r} {count[i]} times" for i in np.argsort(-count)[:5]) or "none"


print("the latent fires, and the rule says no: ", common(fires & ~says))
print("the rule says yes, the latent is silent:", common(says & ~fires))

# %% [markdown]
# ## By strength
#
# Rules fail mostly where a latent fires weakly. This is how much of what it fires on the rule is right about, by strength:

# %%
sp.plot.fired_on(
    {f"latent {latent}": (activation[testing][fires], says[fires])},
    "the rule says yes",
    title=f"What the rule knows of latent {latent}, by how strongly it fires: F1 {f1:.2f} in all",
)

# %% [markdown]
# ## A rule for every latent
#
# The library describes every latent, too, by the set of tokens (this one or the one before) or the source of text with the best
# $F_1$ on half of the rows, and judges the description on the other half. So this says how many latents a list of tokens
# describes.

# %%
some = 120  # in the tests: 10
pages = feature_pages(
    attached, tokens, features=range(some), effects=False, texts=(), title="Some latents of the SAE"
)
quality = np.array([q for q in pages.index["columns"]["quality"] if q is not None])
print(f"of {some} latents, {len(quality)} fire often enough to be judged")
for bar in (0.3, 0.5, 0.7, 0.9):
    print(f"   {(quality >= bar).mean():4.0%} have a description with F1 of {bar} or more")

# %% [markdown]
# Most latents are not as clear as the one that you read. A page with striking examples at its top says little as long as nobody
# has counted.
#
# ## The page
#
# Here are the pages of your latent and of two others ("All latents" leads to them). Move the pointer over a token to see its
# activation. `superposition page` writes such pages for all latents of an SAE, into a folder that opens without a network.

# %%
others = [int(j) for j in np.argsort(-(latents > 0).mean(0)) if 0.002 < (latents[:, j] > 0).mean() < 0.01][:2]
sp.pages.framed(
    feature_pages(
        attached,
        to_read,
        features=[latent, *others],
        effects=False,
        texts=(),
        title="Three latents of the small language model",
    )
)

# %% [markdown]
# At the top stands the description with its $F_1$, chosen and judged as above. Further down there are examples by interval of
# activation, and not only the strongest: read the weaker ones, too.
