"""From a few pictures to a concept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from embedops.concepts import Concept
from embedops.errors import ConfigError, LearningError
from embedops.families import adapter_for
from embedops.learning.loop import Loop, StepReport
from embedops.learning.method import MethodConfig, Task, method, recommended
from embedops.learning.pictures import Picture, read_pictures
from embedops.learning.tracking import Tracker, tracked
from embedops.placeholders import checked_token, speller

CONCEPT_FILE = "concept.safetensors"


def learn(
    name: str,
    pipe: Any,
    images: str | Path | Sequence[str | Path],
    token: str,
    *,
    out: str | Path,
    masks: str | Path | None = None,
    seed: int = 0,
    on_step: Callable[[StepReport], None] | None = None,
    on_check: Callable[[StepReport, Concept], None] | None = None,
    tracker: str | Tracker | None = None,
    **config: object,
) -> Concept:
    """Learn a concept from a few pictures.

    Args:
        name: the method; `embedops.methods()` lists them.
        pipe: an unmodified diffusers pipeline of a family that can learn; it is left as it was.
        images: a folder of pictures, or files; a text file of the same name is a caption.
        token: the placeholder that prompts will name it by, such as `"<teapot>"`.
        out: a folder for the concept, the log and the checkpoint. A run that was stopped goes on
            from there, with the result of one that was not.
        masks: a folder of masks, white on the subject.
        seed: of everything that is drawn at random.
        on_step: called after each step. Raising `StopLearning` ends the run, and keeps the best.
        on_check: called after each step that checks the loss on fixed noise, with the concept as
            it is by then; it may raise the same.
        tracker: an experiment tracker of accelerate's, by name or as an object.
        config: the method's settings; those that are left out are what the model recommends, or
            else the method's defaults.

    Raises:
        UnknownNameError: no such method, setting or tracker.
        ConfigError: the pictures, the token, a setting or the folder cannot be used.
        UnsupportedPipelineError: concepts cannot be learnt with this family.
        LearningError: memory ran out, or the loss became NaN; the best so far is in `out`.
    """
    method(name, config)  # tells of a wrong setting before any work
    adapter = adapter_for(pipe)
    chosen = method(name, {**recommended(adapter, name), **config})
    denoising = adapter.denoising()
    given = Path(images) if isinstance(images, str | Path) else [Path(file) for file in images]
    pictures = read_pictures(given, denoising.size, None if masks is None else Path(masks))
    _check_new(pipe, adapter.tokenizers(), token)
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the folder {folder} cannot be made: {error}.") from error
    origin = {
        "method": name,
        "model": _model_name(pipe),
        "seed": str(seed),
        "pictures": str(len(pictures)),
        "embedops": version("embedops"),
        "diffusers": version("diffusers"),
    }
    task = Task(adapter, denoising, pictures, token, seed)
    settings = _identity(name, chosen.config, pictures, token, seed)
    process = PartialState(cpu=pipe._execution_device.type == "cpu")
    with ExitStack() as stack:
        tell = stack.enter_context(tracked(tracker, token.strip("<>"), folder, settings, process))
        try:
            run = chosen.begin(task)
            stack.callback(run.close)
            loop = Loop(task, run, chosen.config, folder, settings, process)
        except torch.OutOfMemoryError as error:
            raise LearningError(
                "out of memory before the first step: the model itself hardly fits. Load it in "
                "bf16 (dtype=torch.bfloat16)."
            ) from error

        def told(report: StepReport) -> None:
            tell(report)
            if on_step is not None:
                on_step(report)
            if on_check is not None and report.check is not None:
                on_check(report, run.concept({**origin, "step": str(report.step)}))

        try:
            progress = loop.learn(told)
        except LearningError:
            run.concept(origin).save(folder / CONCEPT_FILE)
            raise
        notes = {"notes": " ".join(run.notes)} if run.notes else {}
        concept = run.concept({**origin, "step": str(progress.best_step), **notes})
    concept.save(folder / CONCEPT_FILE)
    return concept


def _model_name(pipe: Any) -> str:
    """The hub id or the folder's name: where the folder lies is nobody's business who gets the
    concept."""
    name = str(getattr(pipe.config, "_name_or_path", "") or type(pipe).__name__)
    return Path(name).name if Path(name).is_absolute() or Path(name).exists() else name


def _check_new(pipe: Any, tokenizers: Any, token: str) -> None:
    """Make sure that the placeholder is no word already.

    Raises:
        ConfigError: it cannot be a placeholder, or a tokenizer knows it as one token.
    """
    checked_token(token)
    for spelling in dict.fromkeys(tokenizers.values()):
        tokenizer = speller(getattr(pipe, spelling))
        ids = tokenizer(token, add_special_tokens=False).input_ids
        if len(ids) == 1 and ids[0] != tokenizer.unk_token_id:
            raise ConfigError(
                f"{token!r} is a word of the model's vocabulary already; prompts that mean the "
                f"word would mean the concept. Choose another name, such as '<{token}>'."
            )


def _identity(
    name: str, config: MethodConfig, pictures: Sequence[Picture], token: str, seed: int
) -> str:
    """The same for the same run: settings, pictures and seed."""
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(picture.pixels.numpy().tobytes())
        digest.update((picture.caption or "").encode())
        if picture.mask is not None:
            digest.update(picture.mask.numpy().tobytes())
    settings = {"method": name, "token": token, "seed": seed, **config.model_dump(mode="json")}
    return json.dumps({**settings, "pictures": digest.hexdigest()}, sort_keys=True)
