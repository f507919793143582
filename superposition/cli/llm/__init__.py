"""The commands `superposition llm train-sae`, `eval-sae`, `activations` and `generate`."""
