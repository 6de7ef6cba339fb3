"""Stable Diffusion 1.x and 2.x: one CLIP encoder, a UNet, guidance in one batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from embedops.encoders import LeaveOneOut
from embedops.errors import GuardError
from embedops.families import Adapter, Observed
from embedops.streams import Conditioning
from embedops_pipelines.clip import ClipText, Encoding, model_presets

EncodePrompt = Callable[..., Any]

_STREAM = "text_encoder"


class StableDiffusion(Adapter):
    """Text and image-to-image, inpainting and ControlNet pipelines of the SD 1.x and 2.x line.

    The pooled vector is not read by the UNet; it serves to judge tokens. A ControlNet reads the
    prompt as well, and gets the same embeddings as the UNet.
    """

    family: ClassVar[str] = "stable-diffusion"
    pipelines: ClassVar[tuple[str, ...]] = (
        "StableDiffusionPipeline",
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionInpaintPipeline",
        "StableDiffusionControlNetPipeline",
        "StableDiffusionControlNetImg2ImgPipeline",
        "StableDiffusionControlNetInpaintPipeline",
    )
    denoisers: ClassVar[tuple[str, ...]] = ("unet", "controlnet")

    def __init__(self, pipe: Any) -> None:
        super().__init__(pipe)
        self._texts: dict[float | None, ClipText] = {}

    def encoder(self) -> StableDiffusionEncoder:
        return StableDiffusionEncoder(self.pipe, self.pipe.encode_prompt, self._text(None))

    def observe(
        self, encode_prompt: EncodePrompt, arguments: Mapping[str, Any]
    ) -> tuple[object, Observed]:
        text = self._text(arguments.get("lora_scale"))
        with text.record() as calls:
            result = encode_prompt(**arguments)
        encoder = StableDiffusionEncoder(
            self.pipe, encode_prompt, text, arguments.get("clip_skip"), calls
        )
        count = arguments["num_images_per_prompt"]
        prompt = arguments.get("prompt")
        if prompt is None or arguments.get("prompt_embeds") is not None:
            return result, Observed(None, encoder, count)
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        embeds, negative_embeds = result
        conditioning = _conditioning(text, prompts, calls[0], embeds[::count])
        if negative_embeds is not None and len(calls) > 1:
            given = arguments.get("negative_prompt") or ""
            texts = [given] * len(prompts) if isinstance(given, str) else list(given)
            conditioning = conditioning.avoiding(
                _conditioning(text, texts, calls[1], negative_embeds[::count])
            )
        return result, Observed(conditioning, encoder, count)

    def bundle(self, conditioning: Conditioning) -> dict[str, Tensor]:
        return {"encoder_hidden_states": conditioning.stream(_STREAM).embeds}

    def _text(self, lora_scale: float | None) -> ClipText:
        # Kept, so that concept vectors are computed once; made anew when a component is replaced.
        kept = self._texts.get(lora_scale)
        if kept is None or kept.model is not self.pipe.text_encoder:
            kept = ClipText(self.pipe, _STREAM, "tokenizer", lora_scale)
            self._texts[lora_scale] = kept
        return kept


class StableDiffusionEncoder:
    """The CLIP encoder of a Stable Diffusion pipeline, answering plugins' questions."""

    def __init__(
        self,
        pipe: Any,
        encode_prompt: EncodePrompt,
        text: ClipText,
        clip_skip: int | None = None,
        seen: Sequence[Encoding] = (),
    ) -> None:
        self._pipe = pipe
        self._encode_prompt = encode_prompt
        self._text = text
        self._clip_skip = clip_skip
        self._seen = list(seen)

    @property
    def presets(self) -> Mapping[str, tuple[str, ...]]:
        return model_presets(self._text.model)

    def encode(self, texts: Sequence[str]) -> Conditioning:
        return self._encode(texts, self._clip_skip)

    def encode_negative(self, texts: Sequence[str]) -> Conditioning:
        return self._encode(texts, None)  # upstream applies clip_skip to the positive prompt alone

    def _encode(self, texts: Sequence[str], clip_skip: int | None) -> Conditioning:
        with self._text.record() as calls, torch.no_grad():
            embeds, _ = self._encode_prompt(
                list(texts),
                self._pipe._execution_device,
                1,
                False,
                lora_scale=self._text.lora_scale,
                clip_skip=clip_skip,
            )
        self._seen += calls
        return _conditioning(self._text, texts, calls[0], embeds)

    def pooled(self, texts: Sequence[str]) -> Mapping[str, Tensor]:
        return {_STREAM: self._text.pooled(texts)}

    def leave_one_out(self, conditioning: Conditioning) -> Mapping[str, tuple[LeaveOneOut, ...]]:
        return {
            _STREAM: tuple(
                self._text.leave_one_out(prompt, self._seen) for prompt in conditioning.prompts
            )
        }

    def vocabulary(self) -> tuple[str, ...]:
        return self._text.vocabulary()


def _conditioning(
    text: ClipText, prompts: Sequence[str], encoding: Encoding, embeds: Tensor
) -> Conditioning:
    if len(prompts) != encoding.ids.shape[0] or len(prompts) != embeds.shape[0]:
        raise GuardError(
            f"{len(prompts)} prompts were encoded to {encoding.ids.shape[0]} rows of tokens and "
            f"{embeds.shape[0]} of embeddings; they cannot be told apart."
        )
    return Conditioning(tuple(prompts), (text.stream(encoding, embeds, pooled_read=False),))
