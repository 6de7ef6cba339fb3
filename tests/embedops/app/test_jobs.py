from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from embedops.app.jobs import Job, Progress, Stopped
from embedops.app.turns import Turns
from embedops.app.visitors import Visitors


def counting(total: int) -> object:
    def work(job: Job[int]) -> Iterator[int]:
        job.begin("counting", total)
        for number in range(total):
            job.step()
            yield number

    return work


def given(job: Job[int]) -> list[int]:
    return [told for told in job.results() if not isinstance(told, Progress)]


def test_results_come_in_order_and_progress_is_counted() -> None:
    job = Job(Turns(), counting(5))  # type: ignore[arg-type]
    assert given(job) == [0, 1, 2, 3, 4]
    assert job.progress == Progress("counting", 5, 5)
    assert job.last == 4


def test_a_job_that_is_stopped_ends_at_the_next_step() -> None:
    reached = threading.Event()

    def work(job: Job[int]) -> Iterator[int]:
        yield 1
        reached.set()
        while True:
            job.step()

    job = Job(Turns(), work)
    results = job.results()
    assert next(told for told in results if not isinstance(told, Progress)) == 1
    assert reached.wait(10)
    job.stop()
    with pytest.raises(Stopped):
        list(results)
    job.join()
    assert not job.alive


def test_closing_the_results_stops_the_work() -> None:
    def work(job: Job[int]) -> Iterator[int]:
        while True:
            job.step()
            yield 1

    job = Job(Turns(), work)
    results = job.results()
    next(results)
    results.close()  # type: ignore[attr-defined]
    job.join()
    assert job.stopped
    assert not job.alive


def test_what_goes_wrong_is_raised_where_the_results_are_read() -> None:
    def work(_job: Job[int]) -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        given(Job(Turns(), work))


def test_a_long_job_lets_others_in_between_its_steps() -> None:
    turns, order = Turns(), []
    inside = threading.Event()

    def work(job: Job[int]) -> Iterator[int]:
        inside.set()
        for number in range(1000):
            order.append(number)
            job.step()
            if "other" in order:
                yield number
                return

    job = Job(turns, work)

    def other() -> None:
        inside.wait()
        with turns.hold():
            order.append("other")

    thread = threading.Thread(target=other)
    thread.start()
    assert len(given(job)) == 1
    thread.join()


def test_only_one_holds_at_a_time_first_come_first_served() -> None:
    turns, order = Turns(), []
    started = [threading.Event() for _ in range(3)]

    def wait(number: int) -> None:
        started[number].set()
        with turns.hold():
            order.append(number)

    threads = [threading.Thread(target=wait, args=(number,)) for number in range(3)]
    with turns.hold():
        for number, thread in enumerate(threads):
            thread.start()
            started[number].wait()
            while len(turns._queue) < number + 2:
                pass
        assert order == []
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2]


def test_a_second_job_of_the_same_name_replaces_the_first(visitors: Visitors) -> None:
    turns = Turns()
    first = visitors.start("one", "draw", turns, counting(3))  # type: ignore[arg-type]
    elsewhere = visitors.start("two", "draw", turns, counting(3))  # type: ignore[arg-type]
    visitors.start("one", "draw", turns, counting(3))  # type: ignore[arg-type]
    assert first.stopped
    assert not elsewhere.stopped


def test_who_leaves_takes_jobs_and_files_along(visitors: Visitors) -> None:
    job = visitors.start("one", "draw", Turns(), counting(3))  # type: ignore[arg-type]
    folder, other = visitors.folder("one"), visitors.folder("two")
    upload = other / "upload.png"
    upload.write_bytes(b"x")
    visitors.own("one", [upload])
    visitors.leave("one")
    assert job.stopped
    assert not folder.exists()
    assert not upload.exists()
    assert other.exists()


def test_a_session_is_no_path(visitors: Visitors) -> None:
    home = visitors.folder("x").parent
    for name in ("../../etc", "/etc", ".", ""):
        assert visitors.folder(name).parent == home
