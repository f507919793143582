"""Runs `absolute_value`: the same as `python -m experiments absolute_value`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.toy_models.absolute_value")
