"""Claims of papers, held against measurements: `python -m experiments` lists the experiments and runs one by name."""
