"""`python -m tests.support.typed`: representative calls with every annotation of the rooms checked, shapes among them.

A process of its own, because the hook rewrites modules while they are imported.
"""

import sys

import beartype
from beartype.roar import BeartypeDecorHintPep673Exception
from jaxtyping import install_import_hook

ROOMS = ("toy", "features", "sae", "metrics", "geometry", "theory", "expected_loss", "interventions", "llm")
# An int is a float where a float is asked for (PEP 484), as everywhere in the library.
_checked = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))


def check(function):
    """The function with its arguments checked; beartype cannot check a method alone that returns `Self`."""
    try:
        return _checked(function)
    except BeartypeDecorHintPep673Exception:
        return function


def main():
    import tests.support.typed  # noqa: F401  under the name by which the hook calls it

    with install_import_hook([f"superposition.{room}" for room in ROOMS], "tests.support.typed.check"):
        from tests.support.traced import everything
    failed = []
    for name, call in everything():
        try:
            call()
        except Exception as error:
            failed.append(f"{name}: {type(error).__name__}: {error}")
    print("\n\n".join(failed) or "every signature holds")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
