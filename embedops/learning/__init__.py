"""Learning concepts from a few pictures: one loop for all methods."""
