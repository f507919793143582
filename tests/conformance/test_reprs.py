"""What recipes show: a line that builds them again, without the settings that are as usual, and a table in a notebook."""

from dataclasses import MISSING, fields, replace

import jax
import pytest

import superposition as sp
from superposition.features import FEATURES, PLANTED, RATES
from superposition.sae import ARCHITECTURES
from superposition.toy import TOY_MODELS
from superposition.training import Controller

NAMES = vars(sp.features) | {name: getattr(sp, name) for name in sp.__all__} | {"Controller": Controller}
USUAL = {
    f"{registry}:{name}": kind()
    for registry, kinds in (
        ("sae", ARCHITECTURES),
        ("toy", TOY_MODELS),
        ("features", FEATURES),
        ("rates", RATES),
    )
    for name, kind in kinds.items()
}
CHANGED = {
    "toy": sp.ReLUOutput(5, 2, init="anthropic"),
    "law": sp.Correlated(density=(0.1, 0.2), n_sets=2, signed=True),
    "transcoder": sp.JumpReLU(d_in=3, d_out=4, penalty=0.5),
    "toy run": sp.ToyRun(sp.ReLUOutput(5, 2), sp.SparseUniform(sparsity=0.9), steps=20, importance=(1, 2, 3, 4, 5)),
    "sae run": sp.SAERun(sp.Gated(d_in=3, d_sae=8), sp.Adam(1e-3, warmup=0.1), l0_target=2, controller=Controller(gain=2)),
}  # fmt: skip


@pytest.mark.parametrize(
    "recipe", [*USUAL.values(), *CHANGED.values(), *PLANTED.values()], ids=lambda r: type(r).__name__
)
def test_a_repr_is_one_line_that_builds_the_recipe_again(recipe):
    assert "\n" not in repr(recipe)
    assert eval(repr(recipe), dict(NAMES)) == recipe


def test_a_repr_leaves_out_what_is_as_usual_but_not_the_sizes():
    assert repr(sp.TopK(d_sae=40, k=1)) == "TopK(d_sae=40, k=1)"
    assert repr(sp.ReLUOutput()) == "ReLUOutput(n_features=20, n_hidden=5)"
    assert repr(sp.ToyRun(optimizer=sp.AdamW(3e-3))) == "ToyRun(optimizer=AdamW(learning_rate=0.003))"


@pytest.mark.parametrize("recipe", CHANGED.values(), ids=CHANGED)
def test_the_notebook_table_has_every_setting_and_those_that_differ_first(recipe):
    shown = recipe._repr_html_()
    settings = [field for field in fields(recipe) if field.repr]
    rows = [shown.index(f">{field.name}</th>") for field in settings]
    assert f">{type(recipe).__name__}</caption>" in shown
    usual = [
        field.default_factory() if field.default_factory is not MISSING else field.default
        for field in settings
    ]
    differs = [getattr(recipe, field.name) != value for field, value in zip(settings, usual, strict=True)]
    first = [row for row, different in zip(rows, differs, strict=True) if different]
    rest = [row for row, different in zip(rows, differs, strict=True) if not different]
    assert first
    assert max(first) < min(rest)
    assert shown.count(">default</td>") == len(rest)


def test_nothing_in_a_setting_is_markup():
    shown = sp.ToyRun(loss=_Marked())._repr_html_()
    assert "<b>" not in shown
    assert "&lt;b&gt;" in shown


def test_a_recipe_with_traced_numbers_has_a_repr():
    seen = []

    def run(density):
        seen.append(repr(replace(sp.SparseUniform(density=1.0), density=density)))
        return density

    jax.jit(run)(0.5)
    assert seen[0].startswith("SparseUniform(density=")


class _Marked:
    def __call__(self, params, model, batch):
        return 0.0

    def __repr__(self):
        return "<b>"
