import tiny

from embedops.testing import Case, Conformance


class TestSD(Conformance):
    cases = (Case("StableDiffusionPipeline", tiny.stable_diffusion),)
