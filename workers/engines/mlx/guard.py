"""Keeps control tokens that users write from being read as such: they would count as pictures, or end a turn."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from transformers.utils.chat_template_utils import mark_control_tokens

from contract.errors import BadRequest

_OPEN, _CLOSE = "\ufdd0", "\ufdd1"
"""Around a hidden token's number: code points that Unicode keeps for use within a program."""
_HIDDEN = re.compile(f"{_OPEN}(\\d+){_CLOSE}")


class Guard:
    """Hides the control tokens of a tokenizer while template and processor work, and then encodes them as plain text.

    transformers can encode so what its own marks enclose, but processors look for the picture's token in the text
    before that, marked or not. So what users wrote has a number there until it is tokenized.
    """

    def __init__(self, tokenizer: Any, template: str) -> None:
        added = tokenizer.added_tokens_decoder.values()
        self._tokens = [str(token) for token in added if token.special or str(token) in template]
        longest_first = sorted(self._tokens, key=len, reverse=True)
        pattern = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        self._pattern = pattern
        self._marked = [mark_control_tokens(token, pattern) for token in self._tokens]
        self._tokenizer = tokenizer
        self.tokenizer = _Guarded(self)

    def hide(self, text: str) -> str:
        """A user's text, with a number for each control token in it."""
        text = text.replace(_OPEN, "").replace(_CLOSE, "")
        marked: str = mark_control_tokens(text, self._pattern)  # drops marks that are there already
        for number, token in enumerate(self._marked):
            marked = marked.replace(token, f"{_OPEN}{number}{_CLOSE}")
        return marked

    def encode(self, text: str, **keywords: Any) -> list[int]:
        """The tokens of a text. Raises BadRequest where the tokenizer cannot keep them apart."""
        tokens: list[int] = self._encoded(self._tokenizer.encode, text, keywords)
        return tokens

    def tokenize(self, text: Any, **keywords: Any) -> Any:
        """What processors get of their tokenizer for a text, or for several. Raises BadRequest.

        The tokenizer begins a text as it does, unless the chat template has begun it so already.
        """
        first = text[0] if isinstance(text, list) else text
        begin = self._tokenizer.bos_token
        keywords["add_special_tokens"] = not (begin and first.startswith(begin))
        return self._encoded(self._tokenizer, text, keywords)

    def _encoded(self, encode: Callable[..., Any], text: Any, keywords: dict[str, Any]) -> Any:
        texts = text if isinstance(text, list) else [text]
        if not any(_HIDDEN.search(one) for one in texts):
            return encode(text, **keywords)
        shown = [_HIDDEN.sub(lambda found: self._marked[int(found[1])], one) for one in texts]
        try:
            return encode(shown if isinstance(text, list) else shown[0], sanitize_control_tokens=True, **keywords)
        except NotImplementedError:
            raise BadRequest(
                "A message contains a control token of this model, which it could not tell from those of the "
                "conversation itself. Leave it out."
            ) from None


class _Guarded:
    """The tokenizer as processors see it."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def __call__(self, text: Any, **keywords: Any) -> Any:
        return self._guard.tokenize(text, **keywords)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._guard._tokenizer, name)
