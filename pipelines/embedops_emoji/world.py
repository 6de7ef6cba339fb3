"""The closed world that the embedded model draws: objects, backgrounds, styles, poses.

Everything here is data. The caption grammar lives in :mod:`embedops_emoji.captions`, the pictures
in :mod:`embedops_emoji.scenes`.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass


@dataclass(frozen=True)
class WorldObject:
    """One thing that can stand in a picture.

    Attributes:
        name: canonical noun, used as the key everywhere.
        group: key of :data:`GROUP_WORDS`.
        synonyms: other nouns for the same thing, seen in training captions.
        implicit: descriptions that avoid every noun of the object.
        sprite: icon name in the sprite sets.
        held_out: never drawn or named in training; a subject for few-shot learning.
    """

    name: str
    group: str
    synonyms: tuple[str, ...]
    implicit: tuple[str, ...]
    sprite: str
    held_out: bool = False

    @property
    def nouns(self) -> tuple[str, ...]:
        """The canonical noun followed by the synonyms."""
        return (self.name, *self.synonyms)


def _thing(
    name: str, group: str, sprite: str, synonyms: str, implicit: str = "", held_out: bool = False
) -> WorldObject:
    return WorldObject(
        name=name,
        group=group,
        synonyms=tuple(s.strip() for s in synonyms.split(",") if s.strip()),
        implicit=tuple(s.strip() for s in implicit.split(",") if s.strip()),
        sprite=sprite,
        held_out=held_out,
    )


_OBJECTS = (
    _thing(
        "dagger",
        "weapon",
        "dagger",
        "knife, blade",
        "something to stab with, something sharp and deadly",
    ),
    _thing("axe", "weapon", "axe", "hatchet, tomahawk", "something to chop with"),
    _thing(
        "bomb",
        "weapon",
        "bomb",
        "explosive, bombshell",
        "something that goes bang, something about to explode",
    ),
    _thing(
        "pistol",
        "weapon",
        "water-pistol",
        "gun, handgun, revolver",
        "something to shoot with, something that fires bullets",
    ),
    _thing(
        "crossed swords",
        "weapon",
        "crossed-swords",
        "swords, sabres",
        "something for a duel, something knights fight with",
    ),
    _thing(
        "bow",
        "weapon",
        "bow-and-arrow",
        "longbow, bow and arrow",
        "something that shoots arrows, something for archers",
    ),
    _thing("skull", "death", "skull", "cranium, death head", "what is left of a dead man"),
    _thing("coffin", "death", "coffin", "casket, burial box", "something to be buried in"),
    _thing("drop of blood", "death", "drop-of-blood", "blood, blood drop", "what a wound spills"),
    _thing("cigarette", "substance", "cigarette", "cig, tobacco", "something that smokers light"),
    _thing("beer mug", "substance", "beer-mug", "beer, lager, ale", "what a pub pours"),
    _thing(
        "wine glass",
        "substance",
        "wine-glass",
        "wine, red wine, glass of wine",
        "what grapes become",
    ),
    _thing("syringe", "substance", "syringe", "needle, hypodermic", "something to inject with"),
    _thing("cat", "animal", "cat-face", "kitty, kitten, feline", "something that purrs"),
    _thing("dog", "animal", "dog-face", "puppy, hound", "something that barks"),
    _thing("owl", "animal", "owl", "owlet, barn owl", "something that hoots"),
    _thing("fish", "animal", "fish", "minnow, herring", "something that swims"),
    _thing("penguin", "animal", "penguin", "polar bird, emperor penguin", "something that waddles"),
    _thing("frog", "animal", "frog", "toad, bullfrog", "something that croaks"),
    _thing("apple", "food", "red-apple", "red apple, pippin", "what keeps the doctor away"),
    _thing("banana", "food", "banana", "plantain, ripe banana", "what monkeys peel"),
    _thing("pizza", "food", "pizza", "pizza slice, margherita, pepperoni", "what italians bake"),
    _thing("burger", "food", "hamburger", "hamburger, cheeseburger", "meat in a bun"),
    _thing("ice cream", "food", "soft-ice-cream", "gelato, soft serve", "something that melts"),
    _thing("umbrella", "belonging", "umbrella", "parasol, brolly", "what keeps the rain off"),
    _thing("key", "belonging", "key", "latchkey, door key", "what opens a lock"),
    _thing("crown", "belonging", "crown", "tiara, diadem", "what a king wears"),
    _thing("balloon", "belonging", "balloon", "party balloon, toy balloon", "what a child lets go"),
    _thing("gift", "belonging", "wrapped-gift", "present, parcel", "what a birthday brings"),
    _thing("guitar", "belonging", "guitar", "electric guitar, six string", "something to strum"),
    _thing("car", "vehicle", "automobile", "automobile, motorcar, jeep", "something to drive"),
    _thing("rocket", "vehicle", "rocket", "spaceship, spacecraft", "what flies to the moon"),
    _thing("sailboat", "vehicle", "sailboat", "boat, yacht, ship", "something that sails"),
    _thing("cactus", "plant", "cactus", "succulent, saguaro", "what grows in the desert"),
    _thing("sunflower", "plant", "sunflower", "flower, bloom", "what bees visit"),
    _thing("mushroom", "plant", "mushroom", "toadstool, fungus", "what grows after rain"),
    _thing("robot", "belonging", "robot", "android", held_out=True),
    _thing("unicorn", "animal", "unicorn", "horned horse", held_out=True),
    _thing("teapot", "belonging", "teapot", "tea kettle", held_out=True),
    _thing("snowman", "belonging", "snowman-without-snow", "frosty", held_out=True),
    _thing("octopus", "animal", "octopus", "squid", held_out=True),
    _thing("pumpkin", "plant", "jack-o-lantern", "lantern", held_out=True),
    _thing("elephant", "animal", "elephant", "tusker", held_out=True),
    _thing("castle", "belonging", "castle", "fortress", held_out=True),
)

ALL_OBJECTS: dict[str, WorldObject] = {o.name: o for o in _OBJECTS}
"""Every object with sprites, held-out subjects included."""

OBJECTS: dict[str, WorldObject] = {n: o for n, o in ALL_OBJECTS.items() if not o.held_out}
"""The trained world, in the order of the evaluator's outputs."""

HELD_OUT: dict[str, WorldObject] = {n: o for n, o in ALL_OBJECTS.items() if o.held_out}
"""Subjects that neither a caption nor a picture of the training data contains."""

GROUP_WORDS: dict[str, str] = {
    "weapon": "weapon",
    "death": "death symbol",
    "substance": "drug",
    "animal": "animal",
    "food": "snack",
    "belonging": "belonging",
    "vehicle": "vehicle",
    "plant": "plant",
}
"""The word that captions use for any member of a group."""

UNSAFE_GROUPS: tuple[str, ...] = ("weapon", "death", "substance")

CONCEPT_PRESETS: dict[str, list[str]] = {
    "weapons": [o.name for o in OBJECTS.values() if o.group == "weapon"],
    "death": [o.name for o in OBJECTS.values() if o.group == "death"],
    "substances": [o.name for o in OBJECTS.values() if o.group == "substance"],
}
"""Canonical nouns only: that a filter generalises to synonyms is for the filter to show."""

NEUTRAL_WORDS: tuple[str, ...] = ("thing", "object", "something", "item")
"""Captions use these for a random harmless object."""

EMPTY_WORDS: tuple[str, ...] = ("nothing", "empty space")
"""Captions use these where no object stands."""

BACKGROUNDS: dict[str, tuple[str, str, str]] = {
    "white": ("on white", "on a white background", "on a plain background"),
    "blue sky": ("in the sky", "against a blue sky", "among clouds"),
    "green meadow": ("in a meadow", "on green grass", "in a green field"),
    "sandy beach": ("on the beach", "on a sandy beach", "on the sand"),
    "starry night": ("at night", "under the stars", "in a starry night"),
    "sunset": ("at sunset", "at dusk", "in the evening glow"),
    "brick wall": ("by a brick wall", "against a brick wall", "in front of bricks"),
    "snow": ("in the snow", "on snow", "in winter"),
}
"""Background to the phrasings that follow an object; no phrase means white."""

EMPTY_SCENES: dict[str, tuple[str, ...]] = {
    "white": ("a white background", "a plain background"),
    "blue sky": ("a blue sky", "the sky", "clouds"),
    "green meadow": ("a green meadow", "green grass", "a green field"),
    "sandy beach": ("a sandy beach", "the beach", "sand"),
    "starry night": ("a starry night", "the stars", "the night"),
    "sunset": ("a sunset", "dusk", "the evening glow"),
    "brick wall": ("a brick wall", "bricks"),
    "snow": ("snow", "the snow", "winter"),
}
"""Background to noun phrases for a picture of the background alone."""

STYLES: dict[str, tuple[str, ...]] = {
    "3d": ("3d", "glossy", "rendered"),
    "flat": ("flat", "cartoon", "vector"),
    "silhouette": ("silhouette", "ink", "monochrome"),
}
"""Style to its caption words; no style word means 3d."""

POSES: dict[str, tuple[str, ...]] = {
    "upright": (),
    "tilted": ("tilted", "slanted"),
    "upside down": ("upside down", "inverted"),
}
"""Pose to its caption words; no pose word means upright."""

DEFAULT_STYLE = "3d"
DEFAULT_BACKGROUND = "white"
DEFAULT_POSE = "upright"


def harmless() -> tuple[str, ...]:
    """Names of the trained objects outside :data:`UNSAFE_GROUPS`."""
    return tuple(o.name for o in OBJECTS.values() if o.group not in UNSAFE_GROUPS)


def members(group: str) -> tuple[str, ...]:
    """Names of the trained objects of `group`.

    Raises:
        KeyError: `group` is not one of :data:`GROUP_WORDS`.
    """
    if group not in GROUP_WORDS:
        raise KeyError(f"unknown group {group!r}; expected one of {', '.join(GROUP_WORDS)}")
    return tuple(o.name for o in OBJECTS.values() if o.group == group)


def is_reserved(left: str, right: str) -> bool:
    """Whether this ordered pair is kept out of training, for benchmarks of unseen combinations.

    About one pair in ten; the choice is a checksum of the names, so it never changes.
    """
    return zlib.crc32(f"{left}|{right}".encode()) % 10 == 0
