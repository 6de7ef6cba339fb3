"""ConES: concept embedding search behind the text encoder (arXiv 2305.18993)."""

from embedops_cones.method import Cones, ConesConfig

__all__ = ["Cones", "ConesConfig"]
