"""Textual inversion: new words for what pictures show (arXiv 2208.01618)."""

from embedops_textual_inversion.method import TextualInversion, TextualInversionConfig

__all__ = ["TextualInversion", "TextualInversionConfig"]
