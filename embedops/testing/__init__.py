"""What every adapter must hold: a test class that a family's adapter is run through.

    from embedops.testing import Case, Conformance

    class TestMine(Conformance):
        cases = (Case("mine", build_a_tiny_pipeline, inputs={"height": 16, "width": 16}),)

The pipelines are tiny, with random weights, so that nothing is downloaded; their tokenizer knows
the words of `WORDS`, each as one token. Needs pytest and peft.
"""

from embedops.testing.case import WORDS, Case
from embedops.testing.conformance import Conformance
from embedops.testing.read_as import ReadAs, read_as

__all__ = ["WORDS", "Case", "Conformance", "ReadAs", "read_as"]
