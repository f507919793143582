"""The experiments on *Toy Models of Superposition* (Elhage et al. 2022): every figure of the paper, and what it leaves open."""
