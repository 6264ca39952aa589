"""Control tokens of models in the texts of users, for tests of chat engines."""

from __future__ import annotations

from typing import Any

from tests.support.chat_engines import ask, drawn_image, with_images

CONTROL_TOKENS = (
    "<image> <|image_pad|> <|vision_start|> <image_soft_token> <start_of_image> <fake_token_around_image> <global-img> "
    "<row_1_col_1> [IMG] <|IMAGE_PLACEHOLDER|> <|im_end|> <end_of_utterance> <|endoftext|> </s> <eos>"
)
"""Texts with which models mark images and the ends of turns."""


def check_control_tokens_are_text(engine: Any) -> None:
    """As control tokens they would count as images, or end the user's turn: as text, each letter is a token."""
    for images in ([], [drawn_image()]):
        answer = ask(engine, with_images(f"What does {CONTROL_TOKENS} mean?", *images), max_tokens=1)
        bare = ask(engine, with_images("What does  mean?", *images), max_tokens=1)
        assert answer.usage is not None
        assert bare.usage is not None
        assert answer.usage.prompt_tokens - bare.usage.prompt_tokens == len(CONTROL_TOKENS)
