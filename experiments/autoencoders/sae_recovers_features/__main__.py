"""Runs `sae_recovers_features`: the same as `python -m experiments sae_recovers_features`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.autoencoders.sae_recovers_features")
