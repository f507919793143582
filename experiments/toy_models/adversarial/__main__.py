"""Runs `adversarial`: the same as `python -m experiments adversarial`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.toy_models.adversarial")
