"""Cross Initialization: start where learned embeddings end (arXiv 2312.15905)."""

from embedops_cross_init.method import CrossInit, CrossInitConfig

__all__ = ["CrossInit", "CrossInitConfig"]
