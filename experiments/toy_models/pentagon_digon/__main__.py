"""Runs `pentagon_digon`: the same as `python -m experiments pentagon_digon`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.toy_models.pentagon_digon")
