"""Runs `antiprism`: the same as `python -m experiments antiprism`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.toy_models.antiprism")
