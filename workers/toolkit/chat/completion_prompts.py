"""The prompts of completions: their tokens, what comes before and after a gap, and their repetition."""

from __future__ import annotations

from contract.errors import InvalidField, UnsupportedFeature
from contract.tasks.completions import CompletionPrompt, CompletionRequest
from workers.toolkit.chat.answer import PromptEcho
from workers.toolkit.chat.tokenization import Tokenization


def prompt_tokens(texts: Tokenization, request: CompletionRequest, prompt: CompletionPrompt, size: int) -> list[int]:
    """The tokens of a prompt, for a model whose vocabulary has `size` tokens.

    Raises InvalidField if the prompt has none, or one that the model does not have. Raises UnsupportedFeature for a
    `suffix` that the model cannot honour.
    """
    special = request.add_special_tokens is not False
    if request.suffix:
        tokens = _around_gap(texts, prompt, request.suffix, special=special)
    else:
        tokens = texts.tokens_of(prompt, special=special) if isinstance(prompt, str) else prompt
    if not tokens:
        raise InvalidField("`prompt`: this text has no tokens; send at least one.", param="prompt")
    if max(tokens) >= size:
        message = f"`prompt`: there is no token {max(tokens)}; this model's tokens are 0 to {size - 1}."
        raise InvalidField(message, param="prompt")
    return tokens


def prompt_echo(
    texts: Tokenization, request: CompletionRequest, prompt: CompletionPrompt, tokens: list[int]
) -> PromptEcho | None:
    """The prompt as its completion begins, if the request wants that."""
    if not request.echo:
        return None
    is_text = isinstance(prompt, str)
    text = prompt if isinstance(prompt, str) else texts.text_of(tokens)
    is_hidden = is_text and tokens[0] == texts.begin_token and not text.startswith(texts.text_of([tokens[0]]))
    return PromptEcho(text, tokens[0] if request.scores_prompt else None, is_hidden)


def _around_gap(texts: Tokenization, prompt: CompletionPrompt, suffix: str, *, special: bool) -> list[int]:
    """The prompt for the text between two others. Raises UnsupportedFeature if the model cannot fill it in."""
    form = texts.fill_in_middle
    if form is None:  # the gateway also refuses it, once it knows the loaded model
        message = "`suffix`: this model has no tokens to fill in the middle of a text."
        raise UnsupportedFeature(message, param="suffix")
    before = texts.tokens_of(prompt, special=False) if isinstance(prompt, str) else prompt
    begin = texts.tokens_of("", special=special)[:1]  # BOS, of a model that has it
    return [*begin, *form.tokens(before, texts.tokens_of(suffix, special=False))]
