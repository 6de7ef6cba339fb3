"""DETEX: a subject apart from its pose and background (arXiv 2312.11826)."""

from embedops_detex.config import DetexConfig
from embedops_detex.method import Detex

__all__ = ["Detex", "DetexConfig"]
