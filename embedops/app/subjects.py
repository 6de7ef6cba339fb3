"""Example pictures to learn from, where this is a checkout of the repository."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import embedops
from embedops.learning.pictures import SUFFIXES

_FOLDER = Path(embedops.__file__).resolve().parents[1] / "examples" / "subjects"


@dataclass(frozen=True)
class Subject:
    """One thing, in a few pictures.

    Attributes:
        name: of the folder.
        pictures: its files.
        masks: the folder of masks; None where a picture has none.
    """

    name: str
    pictures: tuple[Path, ...]
    masks: Path | None


def subjects(folder: Path = _FOLDER) -> list[Subject]:
    """The subjects in a folder; none where there is no such folder, as in an installed package."""
    if not folder.is_dir():
        return []
    found = []
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        images = [file for file in sorted(place.iterdir()) if file.suffix.lower() in SUFFIXES]
        own = tuple(file for file in images if not file.stem.endswith("-mask"))
        masked = all(file.with_stem(f"{file.stem}-mask") in images for file in own)
        if own:
            found.append(Subject(place.name, own, place if masked else None))
    return found
