"""How the shipped weights were made, stage by stage."""
