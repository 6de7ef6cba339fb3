"""What a pipeline must hold that shares its family's way of reading text with another."""

from __future__ import annotations

import torch

from embedops import attach
from embedops.testing import Case, read_as
from embedops.testing.case import CAT, DOG, PISTOL


def reads_the_edited_text(case: Case) -> None:
    """Under a session the pipeline draws what it draws of the other prompts, and after it what it
    drew before."""
    pipe = case.build()

    def draw(first: str) -> torch.Tensor:
        torch.manual_seed(0)  # some encode their image with noise that takes no generator
        return case.run(pipe, [first, DOG])

    before, expected = draw(PISTOL), draw(CAT)
    assert not torch.equal(before[0], expected[0])
    with attach(pipe, read_as()) as session:
        assert torch.equal(draw(PISTOL), expected)
    assert session.report.total > 0
    assert session.report.steps == (tuple(range(session.report.total)), ())
    assert torch.equal(draw(PISTOL), before)
