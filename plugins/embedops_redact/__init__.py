"""Counterfactual redaction: the prompt encoded anew without the words that it must not hold."""

from embedops_redact.config import RedactConfig
from embedops_redact.plugin import Redact

__all__ = ["Redact", "RedactConfig"]
