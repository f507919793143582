"""One claim of a paper, one file; run `python -m experiments` for the list."""
