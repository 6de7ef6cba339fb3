"""The Python and the command line that do what a tab does."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Use:
    """A plugin or a method, and what it is told."""

    name: str
    settings: Settings = field(default_factory=dict)

    def python(self) -> str:
        """The call that makes it."""
        return f"embedops.plugin({_arguments([repr(self.name)], self.settings)})"


@dataclass(frozen=True)
class Call:
    """What is drawn.

    Attributes:
        model: its name.
        prompts: each is drawn `each` times.
        seed: of the first picture; the others follow.
        settings: keyword arguments of the pipeline's call.
        concepts: files of learned concepts.
        same_seed: whether all pictures are drawn from `seed`.
    """

    model: str
    prompts: Sequence[str]
    seed: int = 0
    each: int = 1
    settings: Settings = field(default_factory=dict)
    concepts: Sequence[str] = ()
    same_seed: bool = False

    @property
    def seeds(self) -> list[int]:
        """One a picture, prompt by prompt."""
        step = 0 if self.same_seed else 1
        return [self.seed + k * step for k in range(self.each * len(self.prompts))]

    @property
    def steps(self) -> int:
        """Denoising steps."""
        return int(str(self.settings["num_inference_steps"]))


_SEVERAL = {True: "num_videos_per_prompt", False: "num_images_per_prompt"}
_OPTIONS = {
    "num_inference_steps": "--steps",
    "guidance_scale": "--guidance",
    "num_frames": "--frames",
}


def drawing(call: Call, *stacks: Sequence[Use]) -> str:
    """Python that draws the same with each of the stacks."""
    moves = "num_frames" in call.settings
    lines = [
        "import torch",
        "import embedops",
        "",
        f"pipe = embedops.load({call.model!r})",
        f"prompts = {list(call.prompts)!r}",
        f"settings = {dict(call.settings)!r}",
    ]
    if call.each > 1:
        lines.append(f"settings[{_SEVERAL[moves]!r}] = {call.each}")
    for number, concept in enumerate(call.concepts):
        lines.append(f"concept{number or ''} = embedops.Concept.load({concept!r})")
    lines += ["", "", "def noise():  # the same for every stack"]
    seeds = f"range({call.seed}, {call.seed + len(call.seeds)})"
    lines.append(f"    return [torch.Generator().manual_seed(seed) for seed in {seeds}]")
    lines += ["", ""]
    frames = "frames" if moves else "images"
    run = f"pipe(prompts, generator=noise(), **settings).{frames}"
    names = _names(stacks)
    for name, stack in zip(names, stacks, strict=True):
        if not stack and not call.concepts:
            lines += [f"{name} = {run}", ""]
            continue
        given = "".join(f",\n    {use.python()}" for use in stack)
        opening = f"embedops.attach(pipe{given}{',' + chr(10) if given else ''})"
        lines.append(f"with {opening} as session:")
        for number in range(len(call.concepts)):
            lines.append(f"    session.add(concept{number or ''})")
        lines.append(f"    {name} = {run}")
        if stack:
            lines.append("    print(session.report)")
        lines.append("")
    return "\n".join(lines)


def commands(call: Call, *stacks: Sequence[Use]) -> str:
    """The command lines that draw the same, one a stack."""
    return "\n\n".join(command(call, stack) for stack in stacks)


def command(call: Call, stack: Sequence[Use]) -> str:
    """The command line that draws with one stack."""
    parts = [["embedops", "generate", *map(shlex.quote, call.prompts)]]
    parts += _stack_options(stack)
    for key, option in _OPTIONS.items():
        if key in call.settings:
            parts.append([option, f"{call.settings[key]:g}"])
    if call.each > 1:
        parts.append(["-n", str(call.each)])
    parts.append(["--batch", str(max(1, len(call.prompts)))] if len(call.prompts) > 1 else [])
    parts += [["--concept", shlex.quote(file)] for file in call.concepts]
    parts.append(["--seed", str(call.seed)])
    return _joined(parts, call.model)


def screening(call: Call, stack: Sequence[Use]) -> str:
    """The command line that looks at the prompts and draws nothing."""
    parts = [["embedops", "screen", *map(shlex.quote, call.prompts)], *_stack_options(stack)]
    return _joined(parts, call.model)


def learning(
    call: Call, images: str, token: str, use: Use, masks: str | None = None
) -> tuple[str, str]:
    """Python that learns a concept and draws it as `call` says, and the command line that learns
    it."""
    arguments = [repr(use.name), "pipe", repr(images), repr(token)]
    given = {"out": "learnt", "seed": call.seed, **use.settings}
    if masks is not None:
        given = {"masks": masks, **given}
    python = "\n".join(
        [
            "import embedops",
            "",
            f"pipe = embedops.load({call.model!r})",
            f"concept = embedops.learn({_arguments(arguments, given)})",
            "with embedops.attach(pipe) as session:",
            "    session.add(concept)",
            f"    images = pipe({_arguments([repr(list(call.prompts))], call.settings)}).images",
            "",
        ]
    )
    parts = [["embedops", "learn", shlex.quote(use.name)], ["--images", shlex.quote(images)]]
    if masks is not None:
        parts.append(["--masks", shlex.quote(masks)])
    parts.append(["--token", shlex.quote(token)])
    parts += [["--set", shlex.quote(f"{k}={_learnt(v)}")] for k, v in use.settings.items()]
    parts += [["--seed", str(call.seed)], ["--out", "learnt"]]
    return python, _joined(parts, call.model)


def _names(stacks: Sequence[Sequence[Use]]) -> list[str]:
    if len(stacks) == 1:
        return ["pictures"]
    if len(stacks) == 2 and not stacks[0]:
        return ["plain", "steered"]
    return [f"pictures_{number}" for number in range(1, len(stacks) + 1)]


def _stack_options(stack: Sequence[Use]) -> list[list[str]]:
    parts = [["-p", shlex.quote(use.name)] for use in stack]
    shared = [{k: u.settings.get(k) for k in ("concepts", "phrases")} for u in stack]
    takers = [s for s in shared if any(s.values())]
    common: Settings = takers[0] if takers and all(s == takers[0] for s in takers) else {}
    if common.get("concepts"):
        parts.append(["-c", shlex.quote(",".join(_texts(common["concepts"])))])
    parts += [["--phrases", shlex.quote(text)] for text in _texts(common.get("phrases"))]
    for use in stack:
        for key, value in use.settings.items():
            if not (key in common and common[key] == value):
                parts.append(["--set", shlex.quote(f"{use.name}.{key}={_value(value)}")])
    return parts


def _texts(value: object) -> list[str]:
    return [str(text) for text in value] if isinstance(value, list | tuple) else []


def _value(value: object) -> str:
    if isinstance(value, str) and not value.startswith(("[", "{", '"')) and value != "null":
        return value
    return json.dumps(value, ensure_ascii=False)


def _learnt(value: object) -> str:
    # `learn --set` reads JSON where it can: only texts that look like JSON need quotes.
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    try:
        json.loads(value)
    except json.JSONDecodeError:
        return value
    return json.dumps(value)


def _arguments(first: Sequence[str], settings: Settings) -> str:
    given = [*first, *(f"{key}={_literal(value)}" for key, value in settings.items())]
    return ", ".join(given)


def _literal(value: object) -> str:
    return repr(list(value)) if isinstance(value, tuple) else repr(value)


def _joined(parts: Sequence[Sequence[str]], model: str) -> str:
    options = [" ".join(part) for part in parts if part]
    if model != "emoji":
        options.append(f"--model {shlex.quote(model)}")
    lines, line = [], ""
    for option in options:
        if line and len(line) + len(option) > 76:
            lines.append(line)
            line = f"    {option}"
        else:
            line = f"{line} {option}".strip() if not line.startswith("    ") else f"{line} {option}"
    return " \\\n".join([*lines, line])
