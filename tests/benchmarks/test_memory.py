from __future__ import annotations

import memory
import tiny

from embedops.testing import Case


def test_a_session_holds_a_few_times_the_text() -> None:
    case = Case("tiny", tiny.stable_diffusion, inputs={"height": 16, "width": 16})
    found = memory.family(case)
    assert found["family"] == "stable-diffusion"
    assert found["text_bytes"] == 2 * 2 * 77 * 32 * 4  # sides, prompts, tokens, width, float32
    # The edited text itself, and the batch in which it stands for the original.
    assert 1.5 * found["text_bytes"] <= found["more_bytes"] < 4 * found["text_bytes"]
