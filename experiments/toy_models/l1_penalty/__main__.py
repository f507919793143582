"""Runs `l1_penalty`: the same as `python -m experiments l1_penalty`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.toy_models.l1_penalty")
