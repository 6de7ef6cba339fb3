"""Z-Image: one Qwen3 encoder behind a chat template, texts as a list of unpadded tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from embedops.families import Bundle, Side
from embedops.streams import Conditioning, TextStream
from embedops_pipelines.said import Said, Values
from embedops_pipelines.single_encoder import SingleEncoder
from embedops_pipelines.text_model import States, hidden_state


class ZImage(SingleEncoder):
    """Text-to-image, image-to-image and inpainting pipelines of Z-Image.

    The denoiser reads the last state but one, template included, as a list of one tensor a picture
    in the order positive, negative. The pipelines repeat the texts for several pictures after
    `encode_prompt`, skip that method where embeddings are given without a prompt, and write the
    template into the list of prompts that they are given.
    """

    family: ClassVar[str] = "z-image"
    pipelines: ClassVar[tuple[str, ...]] = (
        "ZImagePipeline",
        "ZImageImg2ImgPipeline",
        "ZImageInpaintPipeline",
    )
    denoisers: ClassVar[tuple[str, ...]] = ("transformer",)
    order: ClassVar[tuple[Side, Side]] = ("positive", "negative")
    returns: ClassVar[tuple[str, ...]] = ("embeds", "negative_embeds")
    templated: ClassVar[bool] = True

    def states(self) -> States:
        return hidden_state(-2)

    def sides(self, result: object, images: int) -> tuple[Values, Values | None]:
        positive, negative = super().sides(result, images)
        # With guidance off the negative side is an empty list.
        return positive, negative if negative is not None and negative["embeds"] else None

    def streams(self, said: Said) -> Sequence[TextStream]:
        texts: list[Tensor] = said.values["embeds"]
        embeds = pad_sequence(texts, batch_first=True)
        mask = pad_sequence([text.new_ones(len(text)) for text in texts], batch_first=True)
        return [said.stream("text_encoder", embeds, mask=mask.long())]

    def bundle(self, conditioning: Conditioning, inputs: Mapping[str, object]) -> Bundle:
        stream = conditioning.stream("text_encoder")
        read = zip(stream.embeds, stream.mask_or_ones.bool(), strict=True)
        return {"cap_feats": [row[seen] for row, seen in read]}

    def rows_per_prompt(self, name: str, images: int, inputs: Mapping[str, object]) -> int:
        texts = inputs.get("cap_feats")
        if not isinstance(texts, list) or not texts:
            return images
        # The pipeline repeats the tensor itself for the pictures of a prompt.
        return next((n for n, text in enumerate(texts) if text is not texts[0]), len(texts))
