"""Escapes control tokens in user text, so that they are read as text: else they could count as images or end a turn."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from transformers import BatchEncoding
from transformers.utils.chat_template_utils import mark_control_tokens

from contract.errors import BadRequest

_OPEN, _CLOSE = "\ufdd0", "\ufdd1"
"""Delimit an escaped token's number: noncharacters, which Unicode reserves for internal use."""
_HIDDEN = re.compile(f"{_OPEN}(\\d+){_CLOSE}")

_OWN_WORDS = ("role", "type")
"""Fields of turns whose values are ours, and never contain a client's text."""


class Guard:
    """Replaces a tokenizer's control tokens by numbers for template and processor, then encodes them as plain text.

    transformers can encode as plain text what its own marks enclose. But processors search the text for the image
    token earlier than that, whether it is marked or not. So control tokens in user text are numbers until tokenization.
    """

    def __init__(self, tokenizer: Any, template: str, *, begins_texts: bool = False) -> None:
        """`begins_texts`: add the token that begins a text unless the template has, whatever the processor says."""
        self._begins_texts = begins_texts
        added = [(str(token), token.special) for token in tokenizer.added_tokens_decoder.values()]
        self._tokens = [
            token for token, special in added if special or (token in template and not _is_word(tokenizer, token))
        ]
        longest_first = sorted(self._tokens, key=len, reverse=True)
        pattern = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        self._pattern = pattern
        self._marked = [mark_control_tokens(token, pattern) for token in self._tokens]
        self._tokenizer = tokenizer
        self.tokenizer = _GuardedTokenizer(self)

    def writes(self, text: str, position: int) -> bool:
        """Whether a control token begins at this position of a text."""
        return self._pattern.match(text, position) is not None

    def hide(self, text: str) -> str:
        """A user's text with its control tokens replaced by numbers."""
        text = text.replace(_OPEN, "").replace(_CLOSE, "")
        marked: str = mark_control_tokens(text, self._pattern)  # removes marks that the text already has
        for number, token in enumerate(self._marked):
            marked = marked.replace(token, f"{_OPEN}{number}{_CLOSE}")
        return marked

    def hide_all(self, value: Any) -> Any:
        """The same value with the control tokens hidden in all strings in it, except keys and types."""
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, dict):
            return {key: item if key in _OWN_WORDS else self.hide_all(item) for key, item in value.items()}
        return [self.hide_all(item) for item in value] if isinstance(value, list) else value

    def encode(self, text: str, **keywords: Any) -> list[int]:
        """A text's token ids. Raises BadRequest if the tokenizer cannot encode control tokens as plain text."""
        tokens: list[int] = self._encoded(self._tokenizer.encode, text, keywords)
        return tokens

    def tokenize(self, text: Any, **keywords: Any) -> Any:
        """The tokenizer's output for a text or several, as processors get it. Raises BadRequest."""
        if self._begins_texts:
            first, bos = text[0] if isinstance(text, list) else text, self._tokenizer.bos_token
            keywords["add_special_tokens"] = not (bos and first.startswith(bos))
        encoding = self._encoded(self._tokenizer, text, keywords)
        if isinstance(text, list) and not getattr(encoding, "is_fast", True):
            return _LocatingEncoding(encoding, self, text, keywords)
        return encoding

    def _encoded(self, encode: Callable[..., Any], text: Any, keywords: dict[str, Any]) -> Any:
        texts = text if isinstance(text, list) else [text]
        if not any(_HIDDEN.search(part) for part in texts):
            return encode(text, **keywords)
        restored = [_HIDDEN.sub(lambda match: self._marked[int(match[1])], part) for part in texts]
        try:
            return encode(restored if isinstance(text, list) else restored[0], sanitize_control_tokens=True, **keywords)
        except NotImplementedError:
            raise BadRequest(
                "A message contains a control token of this model, and its tokenizer cannot encode that as plain text. "
                "Leave it out."
            ) from None


def _is_word(tokenizer: Any, token: str) -> bool:
    """Whether an added token is a word as others are, which the tokenizer also makes of plain text."""
    try:
        tokenizer.encode(mark_control_tokens(token, re.compile(re.escape(token))), sanitize_control_tokens=True)
    except ValueError:
        return True
    except NotImplementedError:
        return False
    return False


class _LocatingEncoding(BatchEncoding):  # type: ignore[misc]  # the library has no types
    """Texts with hidden control tokens as tokens, which also says where the processor's own control tokens are.

    Processors such as Idefics3's look for the tokens of their images. The library does not keep the places of texts
    that it encodes piece by piece. But control tokens separate a text, so that what is before one has its own tokens.
    """

    def __init__(self, encoding: BatchEncoding, guard: Guard, texts: list[str], keywords: dict[str, Any]) -> None:
        super().__init__(dict(encoding))
        self._guard, self._texts, self._keywords = guard, texts, keywords

    def char_to_token(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The token at the first or last character of a control token."""
        if sequence_index or char_index is None:
            return None
        text = self._texts[batch_or_char_index]
        if self._guard.writes(text, char_index):
            return self._count(text[:char_index])
        return self._count(text[: char_index + 1]) - 1

    def _count(self, text: str) -> int:
        return len(self._guard._encoded(self._guard._tokenizer, [text], self._keywords)["input_ids"][0])


class _GuardedTokenizer:
    """A tokenizer that encodes through its guard; for processors."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def __call__(self, text: Any, **keywords: Any) -> Any:
        return self._guard.tokenize(text, **keywords)

    def __getattr__(self, name: str) -> Any:
        if name == "_guard":  # while it is copied
            raise AttributeError(name)
        return getattr(self._guard._tokenizer, name)
