"""The caption grammar: one scene in, one of its many wordings out.

A wording fixes the picture completely: a caption without a background word means white, without a
style word 3d, without a pose word upright; in a pair the first-named object stands on the left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embedops_emoji import world

FRAMES = (
    "a picture of",
    "a photo of",
    "an image of",
    "an icon of",
    "a scene with",
    "there is",
    "here is",
    "this shows",
    "i see",
    "we look at",
    "show me",
    "please draw",
)
JOINS = ("and", "next to", "beside", "with", "near", "left of")
ARTICLES = ("the", "my", "your", "one", "this", "his", "her", "some", "that")
ADJECTIVES = tuple(
    """nice lovely cute simple cool pretty fine good great beautiful quiet cheerful calm new old
    young famous favourite funny friendly gentle happy sad little tiny small big large huge normal
    ordinary common typical single real perfect fancy elegant modern classic ancient cheap expensive
    clean dirty dusty wet dry warm cold heavy light soft hard strong weak quick slow strange weird
    odd curious mysterious magic magical royal holy brave clever lazy busy noisy silent lonely proud
    lucky precious rare popular local foreign british german french japanese american african
    wonderful amazing awesome charming delightful adorable splendid fresh amusing boring clear
    detailed realistic stylish smart bold decent dear dull fair familiar fragile humble handsome
    jolly kind lively loyal mild modest neat noble polite rough rustic serious shy sturdy sweet tidy
    tough vintage wise""".split()
)
TAILS = tuple(
    """today|tonight|now|again|for me|for you|for a friend|of course|in the morning|on monday
    |at home|in the city|in the garden|in my town|last year|every day|as always|you know
    |from my holiday|for the kids|for grandma|in high quality|with love|all alone|once more
    |from above|for school|at work|after lunch|this week""".replace("\n    ", "").split("|")
)


@dataclass(frozen=True)
class Scene:
    """What a picture shows.

    Attributes:
        slots: left-to-right object names; `None` leaves a place empty. Length 0, 1 or 2.
        background: key of :data:`world.BACKGROUNDS`.
        style: key of :data:`world.STYLES`.
        pose: key of :data:`world.POSES`, shared by all objects.
    """

    slots: tuple[str | None, ...]
    background: str = world.DEFAULT_BACKGROUND
    style: str = world.DEFAULT_STYLE
    pose: str = world.DEFAULT_POSE

    @property
    def objects(self) -> tuple[str, ...]:
        """Names of the objects present, left to right."""
        return tuple(s for s in self.slots if s is not None)


@dataclass(frozen=True)
class Wording:
    """How often the caption sampler leaves the plain path. All fields are probabilities.

    Attributes:
        synonym: a synonym in place of the canonical noun.
        group: the group's word in place of the noun.
        implicit: a description without any noun of the object.
        neutral: "thing" or its like for a harmless object.
        typo: one misspelt or split word in the noun.
        adjective: a meaningless adjective before a noun.
        tail: a meaningless phrase at the end.
        style_word: the style is named although it is the default one.
        background_word: the background is named although it is the default one.
    """

    synonym: float = 0.42
    group: float = 0.06
    implicit: float = 0.05
    neutral: float = 0.03
    typo: float = 0.05
    adjective: float = 0.12
    tail: float = 0.06
    style_word: float = 0.5
    background_word: float = 0.5


PLAIN = Wording(0, 0, 0, 0, 0, 0, 0, 1.0, 1.0)
"""Canonical nouns, everything named, nothing added."""


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def misspell(word: str, rng: np.random.Generator) -> str:
    """One slip in `word`: a swapped, dropped, doubled or replaced letter, or a split."""
    if len(word) < 3:
        return word
    i = int(rng.integers(1, len(word) - 1))
    slip = int(rng.integers(5))
    if slip == 0:
        return word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    if slip == 1:
        return word[:i] + word[i + 1 :]
    if slip == 2:
        return word[:i] + word[i] + word[i:]
    if slip == 3:
        return word[:i] + "aeioustrn"[int(rng.integers(9))] + word[i + 1 :]
    return word[: i + 1] + (" ", "-", ".")[int(rng.integers(3))] + word[i + 1 :]


def article(noun: str) -> str:
    """`a` or `an`; plural and mass nouns take none."""
    if noun in {"swords", "crossed swords", "sabres", "blood", "tobacco"}:
        return ""
    return "an" if noun[0] in "aeiou" else "a"


def noun_phrase(name: str | None, rng: np.random.Generator, wording: Wording) -> str:
    """A phrase for one slot, e.g. `a puppy`, `the lovely gun`, `something that purrs`."""
    if name is None:
        return _pick(rng, world.EMPTY_WORDS)
    thing = world.ALL_OBJECTS[name]
    draw = rng.random()
    if draw < wording.implicit and thing.implicit:
        return _pick(rng, thing.implicit)
    noun = thing.name
    draw -= wording.implicit
    if 0 <= draw < wording.group:
        noun = world.GROUP_WORDS[thing.group]
    elif draw >= 1 - wording.synonym:
        noun = _pick(rng, thing.synonyms)
    if thing.group not in world.UNSAFE_GROUPS and rng.random() < wording.neutral:
        noun = _pick(rng, world.NEUTRAL_WORDS)
        if noun == "something":
            return noun
    determiner = article(noun)
    if rng.random() < wording.typo:
        words = noun.split(" ")
        i = int(rng.integers(len(words)))
        words[i] = misspell(words[i], rng)
        noun = " ".join(words)
    if rng.random() < wording.adjective:
        adjective = _pick(rng, ADJECTIVES)
        if determiner:
            determiner = article(adjective)
        noun = f"{adjective} {noun}"
    if wording.adjective and rng.random() < 0.2:
        determiner = _pick(rng, ARTICLES) if rng.random() < 0.6 else ""
    return f"{determiner} {noun}".strip()


def caption(
    scene: Scene,
    rng: np.random.Generator | None = None,
    wording: Wording | None = None,
    doing: str = "",
) -> str:
    """One wording of `scene`, lower case, without final punctuation.

    Args:
        scene: the picture's content.
        rng: source of the choices; a fixed seed when omitted.
        wording: how varied the text is; :data:`PLAIN` when omitted.
        doing: what the objects do, said after the last of them.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    wording = PLAIN if wording is None else wording
    pose = _pick(rng, world.POSES[scene.pose]) if scene.pose != world.DEFAULT_POSE else ""
    named_style = scene.style != world.DEFAULT_STYLE or rng.random() < wording.style_word
    style = _pick(rng, world.STYLES[scene.style]) if named_style else ""
    named_ground = (
        scene.background != world.DEFAULT_BACKGROUND or rng.random() < wording.background_word
    )

    if not scene.objects:
        ground = _pick(rng, world.EMPTY_SCENES[scene.background])
        if rng.random() < 0.3:
            ground = (
                f"{_pick(rng, world.EMPTY_WORDS)} {_pick(rng, world.BACKGROUNDS[scene.background])}"
            )
        text = _framed(ground, style, rng)
        return f"{text} {_pick(rng, TAILS)}" if rng.random() < wording.tail else text

    phrases = [noun_phrase(slot, rng, wording) for slot in scene.slots]
    if pose:
        phrases = [_posed(p, pose, rng) for p in phrases]
    text = phrases[0] if len(phrases) == 1 else f"{phrases[0]} {_pick(rng, JOINS)} {phrases[1]}"
    if doing:
        text = f"{text} {doing}"
    ground = _pick(rng, world.BACKGROUNDS[scene.background]) if named_ground else ""
    if ground and rng.random() < 0.12:
        text = f"{ground}, {_framed(text, style, rng)}"
    else:
        text = f"{_framed(text, style, rng)} {ground}".strip()
    return f"{text} {_pick(rng, TAILS)}" if rng.random() < wording.tail else text


def _posed(phrase: str, pose: str, rng: np.random.Generator) -> str:
    """Put the pose after the noun, or in place of nothing before it."""
    if phrase in world.EMPTY_WORDS:
        return phrase
    first, _, rest = phrase.partition(" ")
    if first in ("a", "an") and rng.random() < 0.5:
        return f"{article(pose)} {pose} {rest}"
    return f"{phrase} {pose}"


def _framed(text: str, style: str, rng: np.random.Generator) -> str:
    """Add a frame such as `a picture of`, with the style inside it or after the text."""
    if not style:
        return text if rng.random() < 0.5 else f"{_pick(rng, FRAMES)} {text}"
    draw = rng.random()
    if draw < 0.4:
        return f"{article(style)} {style} {_pick(rng, ('picture', 'image', 'icon'))} of {text}"
    if draw < 0.7:
        prefix = "" if rng.random() < 0.5 else f"{_pick(rng, FRAMES)} "
        return f"{prefix}{text} in {style} style"
    return f"{text}, {style}"
