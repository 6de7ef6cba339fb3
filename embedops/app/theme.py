"""How the page looks."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from gradio.themes import Base, Color, sizes

_ACCENT = Color(
    name="iris",
    c50="#f2f3fd", c100="#e4e6fb", c200="#cdd1f6", c300="#aab1ee", c400="#838be3",
    c500="#646bd6", c600="#4f52c4", c700="#4243a3", c800="#383a84", c900="#31346a", c950="#1e1f3f",
)  # fmt: skip
_INK = Color(
    name="ink",
    c50="#fafafb", c100="#f3f4f6", c200="#e5e7eb", c300="#d2d5db", c400="#9ba1ad",
    c500="#6b7280", c600="#4c535f", c700="#383e49", c800="#22262e", c900="#171a20", c950="#0f1115",
)  # fmt: skip
_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def theme() -> Any:
    """One accent, fonts that the visitor's machine has, nothing fetched from elsewhere."""
    return Base(
        primary_hue=_ACCENT,
        secondary_hue=_ACCENT,
        neutral_hue=_INK,
        radius_size=sizes.radius_md,
        font=list(_FONTS),
        font_mono=list(_MONO),
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_width="1px",
        block_border_color="*neutral_200",
        block_border_color_dark="*neutral_800",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_300",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        block_title_text_weight="600",
        block_info_text_color="*neutral_500",
        block_info_text_color_dark="*neutral_400",
        block_shadow="none",
        input_background_fill="white",
        input_background_fill_dark="*neutral_950",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_700",
        input_border_color_focus="*primary_500",
        input_border_color_focus_dark="*primary_400",
        input_border_width="1px",
        input_shadow_focus="0 0 0 3px color-mix(in oklab, *primary_500 25%, transparent)",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_hover_dark="*primary_500",
        button_primary_text_color="white",
        button_secondary_background_fill="*neutral_100",
        button_secondary_background_fill_dark="*neutral_800",
        slider_color="*primary_600",
        slider_color_dark="*primary_400",
    )


def css() -> str:
    """The style sheet."""
    return files("embedops.app").joinpath("style.css").read_text(encoding="utf-8")
