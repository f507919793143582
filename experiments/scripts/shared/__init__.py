"""What the scripts share: the corpus of the small language model, its tokenizer, and baselines to beat."""
