"""DECOR: orthogonal projection of a prompt against unwanted tokens (arXiv 2412.09169)."""

from embedops_decor.plugin import Decor, DecorConfig

__all__ = ["Decor", "DecorConfig"]
