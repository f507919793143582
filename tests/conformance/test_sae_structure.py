"""How the architectures are built: abstract or final, nothing concrete overridden, nothing extended."""

import inspect

import pytest

from superposition.sae import ARCHITECTURES, SAE

DECLARATIONS = {
    "bound", "finish", "resamples", "idle_settings", "narrowed", "fold_decoder_norm", "fold_input_bias", "fold_scale",
    "to_saelens", "from_saelens",
}  # fmt: skip


def bases(cls):
    """The class and what it inherits from, down to SAE, of which all architectures are."""
    return cls.__mro__[: cls.__mro__.index(SAE) + 1]


def methods(cls):
    plain = (property, classmethod, staticmethod)
    return {
        n for n, v in vars(cls).items() if (inspect.isfunction(v) or isinstance(v, plain)) and n[:2] != "__"
    }


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_no_concrete_method_is_overridden_but_declarations_once(name):
    written = {}
    for cls in bases(ARCHITECTURES[name]):
        for method in methods(cls):
            if not getattr(vars(cls)[method], "__isabstractmethod__", False):
                written.setdefault(method, []).append(cls)
    twice = {method: owners for method, owners in written.items() if len(owners) > 1}
    assert all(method in DECLARATIONS and len(o) == 2 and o[-1] is SAE for method, o in twice.items()), twice


def test_listed_classes_are_final():
    listed = set(ARCHITECTURES.values())
    for cls in listed:
        assert not inspect.isabstract(cls)
        assert not listed & set(cls.__mro__[1:])
        assert all(inspect.isabstract(base) for base in bases(cls)[1:])


def test_no_method_extends_another():
    modules = {inspect.getmodule(base) for cls in ARCHITECTURES.values() for base in bases(cls)}
    assert not [module.__name__ for module in modules if "super()." in inspect.getsource(module)]
