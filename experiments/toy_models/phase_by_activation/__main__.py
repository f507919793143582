"""Runs `phase_by_activation`: the same as `python -m experiments phase_by_activation`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.toy_models.phase_by_activation")
