"""Representative calls of the library's functions, traced and not run: what JAX would compile, with shapes but no numbers."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import superposition as sp
from superposition.features import PLANTED, ElementwiseLaw, thresholds, uniform
from superposition.geometry import thomson
from superposition.theory import branches, minimum

N = 6  # features of a law
WIDTHS = {"pca": {"d_sae": 3}, "identity": {"d_sae": 3}, "matryoshka": {"k": 2, "prefixes": (4, 8)}}
VARIANTS = (
    {}, {"d_out": 4}, {"d_out": 4, "skip": True}, {"width": 5}, {"normalize_activations": "layer_norm"},
    {"matmul_dtype": "bfloat16"}, {"rescale_acts_by_decoder_norm": True}, {"sparsity": "tanh"},
)  # fmt: skip


def floats(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def integers(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.int32)


def words(*cells):
    return jax.ShapeDtypeStruct((*cells, 2), jnp.uint32)


def trace(function, *shapes):
    return jax.eval_shape(function, *shapes)


def toys(kind):
    """Every method of a toy model, of few features (models last) and of many."""
    for n, m in ((5, 2), (3, 2), (60, 9)):
        model = kind(n, m)
        params = trace(model.init_params, jax.random.key(0))
        trace(model, params, floats(3, n))
        trace(model.encode, params, floats(n))
        trace(model.loss, params, floats(n), floats(n))
        trace(model.gradient, params, floats(n), floats(n, 8))
        trace(model.gradient_at_zero, params, floats(n))
        if model.narrow:
            many = jax.tree.map(lambda leaf: floats(7, *leaf.shape), params)
            trace(model.narrow_gradient, many, floats(7, n), [floats(8, 7)] * n)


def law(kind):
    """Draws of a law, for one model and, where it can, for many that share a draw."""
    for signed in (False, True):
        _draws_of(kind(density=0.5, signed=signed))


def _draws_of(one):
    units = one.n_units(N)
    constants = one.constants(one.densities(N))
    for conditional in {False, one.conditional}:
        draw = partial(one.draw, n_features=N, batch_size=8, conditional=conditional)
        trace(lambda c, w, draw=draw: draw(c, w, jnp.uint32(0)), constants, words())
    planted = (constants, words(), floats(N, 4), floats(4))
    trace(lambda c, w, d, b: one.activations(c, d, b, w, jnp.uint32(0), 8), *planted)
    if isinstance(one, ElementwiseLaw):
        u = floats(one.n_uniforms(N), 8, 7)
        trace(lambda u, d: one.transform(u, thresholds(d), N, conditional=True), u, floats(units, 1, 7))


def draws():
    """Uniform numbers in every layout, and the planted worlds that are small."""
    trace(lambda w: uniform(w, jnp.uint32(0), (3, 8)), words())
    trace(lambda w: uniform(w, jnp.uint32(0), (3, 8)), words(7))
    trace(lambda w: uniform(w, jnp.uint32(0), (3, 8), cells_last=True), words(7))
    for world in PLANTED.values():
        if world.n_features <= 64:
            trace(world.build)


def sae(name, kind):
    """Start, maps, loss with its gradient, and constraints of an architecture, in the variants that it has."""
    key = jax.random.key(0)
    for variant in VARIANTS:
        if not variant.keys() <= kind.__dataclass_fields__.keys() or (
            "d_out" in variant and not kind.transcodes
        ):
            continue
        if variant.get("sparsity") == "tanh" and name != "jumprelu":
            continue
        if "width" in variant and name in ("pca", "identity"):
            continue
        model = kind(**{"d_in": 3, "d_sae": 8} | WIDTHS.get(name, {}) | variant)
        x, y = floats(16, 3), floats(16, model.target_width)
        params = trace(lambda x, y, m=model: m.init_params(key, x, y), x, y)
        for batch in ((), (16,), (2, 5)):
            trace(model.reconstruct, params, floats(*batch, 3))
        if not model.trains:
            continue
        state = model.init_state()
        trace(
            lambda p, s, x, y, m=model: jax.grad(lambda q: m.loss(q, s, x, y, key)[0])(p), params, state, x, y
        )
        trace(model.constrain, params, state)
        trace(model.project, params, params)
        trace(lambda p, m=model: m.finish(p)[1], params)


def metrics():
    """The sums of metrics over one batch, and two batches joined."""
    m, pairs = sp.metrics, np.array([[0, 1]])
    trace(
        lambda x, a, c, i: m.accumulate(x, x, a, c, i), floats(9, 3), floats(9, 8), floats(9, 4), integers(8)
    )
    trace(lambda a, b: m.add(m.accumulate(a, a, a), m.accumulate(b, b, b)), floats(9, 3), floats(7, 3))
    trace(lambda a, b: m.add(m.correlation_sums(a, a), m.correlation_sums(b, b)), floats(9, 3), floats(7, 3))
    for function in (m.cosines, m.mmcs, m.found, m.nearest):
        trace(function, floats(9, 3), floats(8, 3))
    trace(m.detections, floats(9, 3), floats(9, 2), floats(4, 3))
    trace(m.cofiring, floats(9, 3), floats(9, 4))
    trace(m.coverage, floats(9, 3), floats(9, 4), integers(4))
    trace(lambda a, c, i: m.absorption_counts(a, c, pairs, i), floats(9, 8), floats(9, 4), integers(4))


def geometry():
    """What is read off W, and the energies of the Thomson problem."""
    for name in ("gram", "norms", "interference", "dimensionality", "cosines", "represented"):
        trace(getattr(sp.geometry, name), floats(4, 2, 5))
    trace(thomson.one_active_loss, sp.ToyParams(floats(2, 5), floats(5)))
    for kind in thomson._ENERGIES:
        trace(lambda W, k=kind: thomson._descend(k, 3, W), floats(2, 4, 2, 5))


def losses():
    """Exact losses with their gradients: independent features, sets, and more features than are enumerated."""
    exact = sp.expected_loss.expected_loss

    def one(n, law, activation):
        params = sp.ToyParams(floats(2, n), floats(n))
        trace(jax.grad(lambda p, i: exact(p, i, law, activation=activation)), params, floats(n))

    for activation in ("linear", "relu", "leaky-relu", "gelu", "softplus", "square", "tanh"):
        for signed in (False, True):
            one(3, sp.SparseUniform(density=0.3, signed=signed), activation)
    for kind in (sp.Correlated, sp.Anticorrelated):
        one(4, kind(density=0.3, n_sets=2), "relu")
    one(20, sp.SparseUniform(density=0.3), "relu")


def minima():
    """Descent, Newton's method and branches."""
    key, free = jax.random.key(0), minimum.INDEPENDENT
    trace(lambda w, p: minimum._descend("relu", 1, 3, 4, 2, free, w, p, key), floats(2, 2), floats(2, 2))
    trace(
        lambda x, w, p: minimum._newton("relu", 1, free, 3, x, w, p), floats(2, 4), floats(2, 2), floats(2, 2)
    )
    trace(
        lambda x, w, p: branches._follow("relu", 1, free, 3, x, w, p),
        floats(2, 4),
        floats(3, 2),
        floats(3, 2),
    )


def edits():
    """Edits of a language model's activations, at a hook point whose heads are flattened for the SAE."""
    from superposition import interventions as on
    from superposition.llm import Context

    model = sp.sae.ReLU(d_in=8, d_sae=5)
    params = trace(model.init_params, jax.random.key(0))
    where = jax.ShapeDtypeStruct((2, 3), bool)

    def edited(x, positions, where, params, row, pool):
        context = Context("blocks.0.attn.hook_z", positions, None)
        steered = on.Steer(row, model)
        clamped = on.Clamp(params, model, jnp.array([1, 4]), on.Draw(pool, jax.random.key(0)))
        for edit in (steered, clamped, on.At(clamped, where), on.From(steered, 1), on.Replace(0.0)):
            x = edit(x, context)
        for error_term in (False, True):
            x = on.Splice(params, model, lambda f: 2 * f, error_term)(x, context)
        return x

    trace(edited, floats(2, 3, 4, 2), integers(2, 3), where, params, floats(8), floats(7, 2))
    trace(on.Logit(2, other=1), floats(2, 3, 9))
    trace(on.kl, floats(2, 3, 9), floats(2, 3, 9))


def language_models():
    """The forward pass of a decoder with hook points, whole and stopped early, with padding and without."""
    from superposition.llm import capture
    from superposition.llm.decoder import shapes
    from tests.oracles import tiny_lm

    spec = tiny_lm.spec(vocab=40)
    params = {name: floats(*shape) for name, shape in shapes(spec).items()}
    names = ("hook_embed", "blocks.0.attn.hook_z", "blocks.0.attn.hook_pattern", "blocks.0.hook_resid_post")
    for stop in (None, 1):
        forward = partial(capture, spec, names=names, stop_at_layer=stop)
        trace(forward, params, integers(2, 5), integers(2, 5), jax.ShapeDtypeStruct((2, 5), bool))
        trace(
            lambda p, t, at, forward=forward: forward(p, t, at, None), params, integers(2, 5), integers(1, 5)
        )


def everything():
    """(name, call) of all of the above."""
    yield from ((f"toy {name}", lambda kind=kind: toys(kind)) for name, kind in sp.toy.TOY_MODELS.items())
    yield from ((f"law {name}", lambda kind=kind: law(kind)) for name, kind in sp.features.FEATURES.items())
    yield "draws", draws
    yield from (
        (f"sae {name}", lambda name=name, kind=kind: sae(name, kind))
        for name, kind in sp.sae.ARCHITECTURES.items()
    )
    yield from (("metrics", metrics), ("geometry", geometry), ("losses", losses), ("minima", minima))
    yield from (("edits", edits), ("language models", language_models))
