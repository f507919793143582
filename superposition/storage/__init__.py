"""Files: checkpoints, where results come from, and the formats of SAEs."""
