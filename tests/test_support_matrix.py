from __future__ import annotations

import json

import support_matrix

import embedops


def test_the_page_says_what_the_suite_found() -> None:
    written = json.loads(support_matrix.FILE.read_text())
    assert support_matrix.PAGE.read_text() == support_matrix.page(written)


def test_every_family_was_run_through_the_suite() -> None:
    assert support_matrix.written_before().keys() == embedops.adapters().keys()


def test_nothing_listed_has_failed() -> None:
    outcomes = {
        outcome
        for pipelines in support_matrix.written_before().values()
        for tests in pipelines.values()
        for outcome in tests.values()
    }
    assert support_matrix.PASSED in outcomes
    assert "failed" not in outcomes
