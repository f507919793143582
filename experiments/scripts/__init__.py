"""Programs that make what ships: the small language model, and its SAEs. They draw nothing and claim nothing."""
