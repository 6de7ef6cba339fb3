"""What the tabs' functions do, called the way that Gradio calls them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from embedops import Concept
from embedops.app.compare import Compare
from embedops.app.inside import Inside
from embedops.app.learning import Learn
from embedops.app.remove import Remove
from embedops.app.steer import Steer
from embedops.app.studio import Studio
from embedops.app.visitors import Visitors

from .conftest import Built

FINE_OF_REDACT, FINE_OF_SAFREE = 7, 10


def pictures(page: str) -> list[str]:
    return re.findall(r'src="(data:image/[^"]+)"', page)


def last(updates: Iterator[tuple[Any, ...]]) -> tuple[str, list[Any]]:
    """The last word, and each output's last value."""
    status, found = "", []
    for said, *outputs in updates:
        found = found or [None] * len(outputs)
        status = said
        for number, value in enumerate(outputs):
            if not (
                isinstance(value, dict) and value.get("__type__") == "update" and len(value) == 1
            ):
                found[number] = value
    return status, found


@pytest.fixture
def steer(studio: Studio, visitors: Visitors, build: Built) -> Steer:
    tab = Steer(studio, visitors)
    build(lambda: tab.build(["a gun"], 2))
    return tab


def fine(tab: Steer) -> list[Any]:
    return [c.component.value for group in tab._fine.values() for c in group.controls]


def asked(tab: Steer, prompt: str, way: str, *, strength: float = 1, phrases: str = "gun") -> Any:
    return (prompt, way, [], phrases, strength, 2, 7, 3, 3, *fine(tab))


def test_steering_changes_what_triggers_and_nothing_else(steer: Steer, visit: Any) -> None:
    status, (page, read, python, command) = last(
        steer.draw(visit, *asked(steer, "a gun and a cat\na dog", "safree"))
    )
    assert "Done" in status
    plain_gun, gun, plain_dog, dog = (pictures(page)[k : k + 2] for k in (0, 2, 4, 6))
    assert plain_gun != gun
    assert "eo-hit" in read
    assert "filtered" in read
    assert "'safree'" in python
    assert "-p safree" in command
    assert len(set(plain_gun)) == 2
    assert len(plain_dog) == len(dog) == 2


def test_at_strength_0_the_pictures_are_the_plain_ones(steer: Steer, visit: Any) -> None:
    _, (page, *_) = last(steer.draw(visit, *asked(steer, "a gun", "safree", strength=0)))
    shown = pictures(page)
    assert shown[:2] == shown[2:]
    assert "bit for bit the plain pictures" in page


def test_plain_pictures_come_first(steer: Steer, visit: Any) -> None:
    counts = [
        len(pictures(page))
        for _, page, *_ in steer.draw(visit, *asked(steer, "a gun", "safree"))
        if isinstance(page, str)
    ]
    assert counts == [0, 2, 4]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": " "}, "the prompt is empty"),
        ({"prompt": "x" * 1001}, "at most 1000"),
        ({"phrases": ""}, "no concept was given"),
        ({"way": "magic"}, "unknown method"),
    ],
)
def test_wrong_input_is_told(
    changes: dict[str, str], message: str, steer: Steer, visit: Any
) -> None:
    given = {"prompt": "a gun", "way": "safree", "phrases": "gun", **changes}
    phrases = given.pop("phrases")
    values = asked(steer, given["prompt"], given["way"], phrases=phrases)
    status, found = last(steer.draw(visit, *values))
    assert message in status
    assert 'role="alert"' in status
    assert found == [None] * 4
    assert message in steer.look(*values)[0]


def test_an_unknown_concept_is_told(steer: Steer, visit: Any) -> None:
    values = list(asked(steer, "a gun", "safree"))
    values[2] = ["wepons"]
    status, _ = last(steer.draw(visit, *values))
    assert "did you mean" in status


def test_a_stop_ends_the_work_and_leaves_the_pipeline_usable(steer: Steer, visit: Any) -> None:
    values = list(asked(steer, "a gun", "safree"))
    values[7] = 6
    updates = steer.draw(visit, *values)
    next(updates)
    steer._runner.stop(visit)
    status, _ = last(updates)
    assert "Stopped" in status
    status, _ = last(steer.draw(visit, *values))
    assert "Done" in status


def test_a_prompt_beyond_the_encoder_is_examined_whole(steer: Steer, visit: Any) -> None:
    long = "a cat and " * 40 + "a gun"
    status, (_, read, *_) = last(steer.draw(visit, *asked(steer, long, "safree")))
    assert "Done" in status
    assert "eo-unread" in read


def test_comparing_any_stack_with_any_other(
    studio: Studio, visitors: Visitors, visit: Any, build: Built
) -> None:
    tab = Compare(studio, visitors)
    build(lambda: tab.build(["a gun"], 1))

    def compare(one: list[str], other: list[str], settings: str = "") -> tuple[str, list[Any]]:
        stacks = (one, "", other, settings)
        return last(tab.draw(visit, "a gun", *stacks, [], "gun, a knife", 1, 0, 3, 3))

    status, (page, _, python, command) = compare(["safree", "decor"], ["decor", "safree"])
    assert "Done" in status
    one, other = pictures(page)
    assert one != other
    assert "safree → decor" in page
    assert python.index("'safree'") < python.index("'decor'")
    assert command.index("-p safree -p decor") < command.index("-p decor -p safree")
    plain, idle = pictures(compare([], ["decor"], "decor.strength=0")[1][0])
    assert plain == idle
    assert "did you mean" in compare(["decor"], ["decor"], "decor.strenght=1")[0]
    assert "cannot be read" in compare(["decor"], ["safree", "decor"], "nonsense")[0]
    assert "unknown plugin" in compare(["decorr"], [])[0]


def test_removing_goes_from_nothing_to_all(
    studio: Studio, visitors: Visitors, visit: Any, build: Built
) -> None:
    tab = Remove(studio, visitors)
    build(lambda: tab.build(["a gun"]))
    rest = [c.component.value for group in tab._controls for c in group.controls]
    values = ["a gun and a cat", [], "gun", 1, 1, 0, 3, 3, *rest]
    status, (page, plot, told, python, command) = last(tab.draw(visit, *values))
    assert "Done" in status
    assert len(set(pictures(page))) == 5
    names = [trace.name for trace in plot.data]
    assert names == ["words", "padding", "words after", "padding after"]
    before, after = plot.data[0].y, plot.data[2].y
    assert sum(y**2 for y in after) < sum(y**2 for y in before)
    assert "text_encoder" in told
    assert python.count("'decor'") == 4
    assert command.count("embedops generate") == 5
    values[8] = []
    assert "no position is chosen" in last(tab.draw(visit, *values))[0]


def test_looking_inside(studio: Studio, visitors: Visitors, visit: Any, build: Built) -> None:
    tab = Inside(studio, visitors)
    build(lambda: tab.build(["a gun", "a cat"]))
    values = ["a gun and a cat", "a dog", ["weapons"], "cat, dog", 1, 0, 2, 3]
    status, (told, plot, angles, parts, python, command) = last(tab.look(visit, *values))
    assert "Done" in status
    assert "cosine" in told
    assert {"prompts", "weapons", "your words"} <= {trace.name for trace in plot.data}
    placed = [text for trace in plot.data for text in trace.customdata]
    assert len(placed) == len(set(placed))
    assert "your words" in angles
    assert "°" in angles
    whole, words, end, padding, nothing = pictures(parts)[:5]
    assert len({whole, words, end, padding, nothing}) == 5
    assert nothing == pictures(parts)[-1]
    assert "--phrases" in command
    scope: dict[str, Any] = {}
    code = python.replace("embedops.load('tiny')", "pipe").replace("pipe = pipe\n", "")
    scope["pipe"] = studio.pipe
    exec(compile(code, "snippet", "exec"), scope)  # noqa: S102
    assert ("weapons", "text_encoder") in scope["spaces"]


@pytest.fixture
def learn(studio: Studio, visitors: Visitors, build: Built) -> Learn:
    tab = Learn(studio, visitors)
    build(tab.build)
    return tab


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    paths = [tmp_path / f"{number}.png" for number in range(2)]
    for number, path in enumerate(paths):
        Image.new("RGB", (32, 32), (90 * number, 40, 40)).save(path)
    return [str(path) for path in paths]


def to_learn(tab: Learn, photos: list[str] | None, **changes: Any) -> list[Any]:
    values = {
        "subject": None, "files": photos, "method": "textual-inversion", "token": "<toy>",
        "init": "cat", "steps": 12, "seed": 0, **changes,
    }  # fmt: skip
    return [*values.values(), *(c.component.value for g in tab._fine.values() for c in g.controls)]


def test_learning_shows_its_way_and_gives_a_file(
    learn: Learn, photos: list[str], visit: Any
) -> None:
    updates = list(learn.learn(visit, *to_learn(learn, photos)))
    status, (loss, norm, page, concept, download, *_) = last(iter(updates))
    assert "Done" in status
    assert list(loss.data[0].x) == list(range(1, 13))
    assert list(loss.data[1].x) == [3, 6, 9, 12]
    assert [trace.name for trace in norm.data] == ["norm", "moved"]
    assert len(pictures(page)) == 8
    seen = [len(pictures(p)) for _, _, _, p, *_ in updates if isinstance(p, str)]
    assert seen == sorted(seen)
    assert len(set(seen)) >= 4, "pictures arrive while it learns"
    saved = Concept.load(download.value["path"])
    assert saved == concept
    assert "/" not in saved.origin["model"]

    values = ["a <toy> in the snow", [], 2, 0, 3, 2]
    status, (shown, python, command) = last(learn.try_it(visit, concept, *values))
    assert "Done" in status
    assert len(set(pictures(shown))) == 2
    assert "--concept learnt/concept.safetensors" in command
    assert "Concept.load" in python
    assert "no prompt names" in last(learn.try_it(visit, concept, "a cat", [], 2, 0, 3, 2))[0]
    assert "nothing has been learnt" in last(learn.try_it(visit, None, *values))[0]


def test_a_background_that_was_learnt_from_can_be_kept(
    learn: Learn, photos: list[str], visit: Any
) -> None:
    status, (_, _, _, concept, _, kept, *_) = last(
        learn.learn(visit, *to_learn(learn, photos, method="detex", steps=6))
    )
    assert "Done" in status
    assert kept.visible
    choices = [token for token, _ in kept.choices]
    assert choices == list(concept.parts)
    assert "<toy-background-2>" in choices
    values = ["a <toy> in the snow", ["<toy-background-2>"], 1, 0, 3, 2]
    status, (shown, python, _) = last(learn.try_it(visit, concept, *values))
    assert "Done" in status
    assert "a <toy> <toy-background-2> in the snow" in python
    _, (plain, *_) = last(learn.try_it(visit, concept, values[0], [], 1, 0, 3, 2))
    assert pictures(shown) != pictures(plain)


def test_a_stop_while_learning_keeps_the_best(learn: Learn, photos: list[str], visit: Any) -> None:
    updates = learn.learn(visit, *to_learn(learn, photos, steps=1000))
    for _, _, _, page, *_ in updates:
        if isinstance(page, str) and pictures(page):
            break
    status, _, _, _, concept, download, *_ = learn.finish(visit)
    assert "best so far is kept" in status
    assert int(concept.origin["step"]) >= 166
    assert Concept.load(download.value["path"]) == concept
    assert learn._studio.pipe.tokenizer("<toy>").input_ids != []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"files": None}, "no pictures were given"),
        ({"token": "cat"}, "is a word of the model"),
        ({"token": ""}, "cannot be a placeholder"),
        ({"method": "magic"}, "unknown method"),
        ({"steps": 5000}, "expected 1 to 1000"),
        ({"subject": "../..", "files": None}, "unknown subject"),
    ],
)
def test_what_cannot_be_learnt_is_told(
    changes: dict[str, Any], message: str, learn: Learn, photos: list[str], visit: Any
) -> None:
    status, found = last(learn.learn(visit, *to_learn(learn, photos, **changes)))
    assert message in status
    assert found[3] is None


def test_a_damaged_picture_is_told(learn: Learn, tmp_path: Path, visit: Any) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    status, _ = last(learn.learn(visit, *to_learn(learn, [str(broken)])))
    assert "broken.png cannot be read" in status
    assert str(tmp_path) not in status
