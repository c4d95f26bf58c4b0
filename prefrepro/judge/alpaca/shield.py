"""Keeps text text: what the package would take for markup on its way to the judge is masked, then put back.

alpaca_eval fills its prompts by replacing {instruction}, {output_1}, {output_2} one after the other, and cuts the
whole at ChatML markers: an answer that holds any of these would be cut, or become a message of its own.
"""

from __future__ import annotations

CHATML = ("<|im_start|>", "<|im_end|>")
MARKUP = (*CHATML, "{instruction}", "{output_1}", "{output_2}")
MARK = "\ufdd0"
"""A code point that no text may hold: Unicode keeps it for use inside a program."""


def shield(text: str) -> str:
    """`text` without markup; `unshield` gives it back exactly, where it holds no MARK."""
    for number, markup in enumerate(MARKUP):
        text = text.replace(markup, f"{MARK}{number}{MARK}")
    return text


def unshield(text: str) -> str:
    """The inverse of `shield`, for any text around it too."""
    if MARK in text:
        for number, markup in enumerate(MARKUP):
            text = text.replace(f"{MARK}{number}{MARK}", markup)
    return text
