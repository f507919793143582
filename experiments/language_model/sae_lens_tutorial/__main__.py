"""Runs `sae_lens_tutorial`: the same as `python -m experiments sae_lens_tutorial`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.language_model.sae_lens_tutorial")
