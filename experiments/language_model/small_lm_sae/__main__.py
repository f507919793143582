"""Runs `small_lm_sae`: the same as `python -m experiments small_lm_sae`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.language_model.small_lm_sae")
