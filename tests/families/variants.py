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
    before, expected = case.run(pipe, [PISTOL, DOG]), case.run(pipe, [CAT, DOG])
    assert not torch.equal(before[0], expected[0])
    with attach(pipe, read_as()) as session:
        assert torch.equal(case.run(pipe, [PISTOL, DOG]), expected)
    assert session.report.total > 0
    assert session.report.steps == (tuple(range(session.report.total)), ())
    assert torch.equal(case.run(pipe, [PISTOL, DOG]), before)
