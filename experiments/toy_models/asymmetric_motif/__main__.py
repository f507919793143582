"""Runs `asymmetric_motif`: the same as `python -m experiments asymmetric_motif`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.toy_models.asymmetric_motif")
