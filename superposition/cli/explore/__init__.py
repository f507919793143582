"""`superposition explore`: the live page."""
