"""SAFREE: training-free steering out of a concept's subspace (arXiv 2410.12761)."""

from embedops_safree.config import SafreeConfig
from embedops_safree.plugin import Safree

__all__ = ["Safree", "SafreeConfig"]
