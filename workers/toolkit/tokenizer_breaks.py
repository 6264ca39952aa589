"""Says where a tokenizer certainly breaks a text: what follows such a place changes no token of what is before it.

A tokenizer normalises a text, splits it into words (pre-tokenization) and splits each word into tokens. Its parts are
known by name, from https://huggingface.co/docs/tokenizers/components. A break is a single space or line break after a
letter or digit: no listed normaliser joins the two, and a word ends there if a listed pre-tokenizer says so, or if the
vocabulary has no token across. Whatever is not listed makes nothing certain.
"""

from __future__ import annotations

import json
import re
from typing import Any

_BEFORE, _BEHIND = "(?<=[0-9A-Za-zА-ИК-Яа-ик-я一-龥])", "(?=[!-~一-龥])"
_SPACE = re.compile(f"{_BEFORE} {_BEHIND}")
_SPACE_OR_LINE = re.compile(f"{_BEFORE}[ \n]{_BEHIND}")
_ACROSS = re.compile(r"[^\W_][\s▁]")
"""What an added token, or a text that a normaliser replaces, would have to contain to reach across a break."""

_LOCAL_NORMALIZERS = {
    "BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled", "Prepend", "Strip",
    "StripAccents",
}  # fmt: skip
_REPLACED = {r"\s+", " {2,}"}
"""Regular expressions of `Replace` that match white space only."""
_WORD_ENDING = {"BertPreTokenizer", "Whitespace", "WhitespaceSplit"}
_LOCAL_PRE_TOKENIZERS = {"Digits", "Punctuation"}

_SUFFIX = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_ALTERNATIVES = {
    *("'s", "'t", "'re", "'ve", "'m", "'ll", "'d", _SUFFIX),
    *(r"<\|startoftext\|>", r"<\|endoftext\|>"),
    *(r" ?\p{L}+", r" ?\p{N}+", r"[\p{L}]+", r"[\p{N}]", r"\p{N}", r"\p{N}+", r"\p{N}{1,3}"),
    *(r"[^\r\n\p{L}\p{N}]?\p{L}+", r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+", r"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"),
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    rf"[^\r\n\p{{L}}\p{{N}}]?[\p{{Lu}}\p{{Lt}}\p{{Lm}}\p{{Lo}}\p{{M}}]*[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}]+{_SUFFIX}?",
    rf"[^\r\n\p{{L}}\p{{N}}]?[\p{{Lu}}\p{{Lt}}\p{{Lm}}\p{{Lo}}\p{{M}}]+[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}]*{_SUFFIX}?",
    *(r"[^\s\p{L}\p{N}]+", r" ?[^\s\p{L}\p{N}]+", r" ?[^\s\p{L}\p{N}]+[\r\n]*", r" ?[^\s\p{L}\p{N}]+[\r\n/]*"),
    *(r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*", r" ?[\p{P}\p{S}]+[\r\n]*"),
    *(r"\s*[\r\n]+", r"\s*[\r\n]", r"\s+(?!\S)", r"\s+"),
}
"""What the regular expressions of GPT-2, CLIP, Llama 3, Qwen, GPT-4o and their like consist of. None of these matches
a letter or digit and the white space after it, and none looks further ahead than the white space that it matches."""
_ALTERNATIVE = re.compile(r"(?:\\.|\[(?:\\.|[^\]\\])*\]|\((?:\\.|[^()\\])*\)|[^|\\\[(])+")

_PROBES = ("One word", "Two words,\tand", "12 3", "über Straße 一", "a\n\n b c", "don't DON'T I'll")


def certain_break(tokenizer: Any) -> re.Pattern[str] | None:
    """Matches the places at which a tokenizer certainly breaks a text; None if nothing is certain."""
    from transformers import PreTrainedTokenizerBase, TokenizersBackend

    is_plain = (
        isinstance(tokenizer, TokenizersBackend)
        and type(tokenizer)._encode_plus is TokenizersBackend._encode_plus
        and type(tokenizer).__call__ is PreTrainedTokenizerBase.__call__
        and tokenizer.truncation_side == "right"
    )
    if not is_plain or any(_ACROSS.search(str(token)) for token in tokenizer.added_tokens_decoder.values()):
        return None
    is_random = getattr(tokenizer.backend_tokenizer.model, "dropout", None)
    pattern = None if is_random else _pattern(tokenizer.backend_tokenizer)
    return pattern if pattern and all(_breaks(tokenizer, probe) for probe in _PROBES) else None


def _breaks(tokenizer: Any, probe: str) -> bool:
    """Whether a tokenizer does with a short text what its parts promise."""
    first, both = (
        tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] for text in (probe, f"{probe} word")
    )
    return bool(both[: len(first)] == first)


def _pattern(backend: Any) -> re.Pattern[str] | None:
    normalizers = _parts(backend.normalizer, "normalizers")
    if not all(_is_local(part) for part in normalizers):
        return None
    has_spaces = not any(part["type"] == "Replace" and part["content"] == "▁" for part in normalizers)
    for part in _parts(backend.pre_tokenizer, "pretokenizers"):
        kind = part["type"]
        if kind == "Metaspace" and part.get("split", True):
            return _SPACE
        if has_spaces and _ends_words(part):
            return _SPACE_OR_LINE
        if kind in ("Metaspace", "ByteLevel"):
            return None  # the next part would see other characters instead of spaces
        splits_nothing = not has_spaces and part.get("pattern") == {"String": " "}
        if not (splits_nothing or kind in _LOCAL_PRE_TOKENIZERS or _is_known_split(part)):
            return None
    return _SPACE if not has_spaces and _ends_words_by_vocabulary(backend) else None


def _parts(component: Any, name: str) -> list[dict[str, Any]]:
    """The settings of a normaliser or pre-tokenizer, of each part of it if it is a sequence."""
    if component is None:
        return []
    settings = json.loads(component.__getstate__())
    return list(settings[name]) if settings["type"] == "Sequence" else [settings]


def _is_local(normalizer: dict[str, Any]) -> bool:
    """Whether a normaliser changes nothing across a break, and leaves a space there, or ▁."""
    if normalizer["type"] != "Replace":
        return normalizer["type"] in _LOCAL_NORMALIZERS
    text, regex = (normalizer["pattern"].get(name, "") for name in ("String", "Regex"))
    if regex or " " in text or "\n" in text:
        return normalizer["content"] in (" ", "▁") and (regex in _REPLACED or text.isspace())
    return "▁" not in text


def _is_known_split(pre_tokenizer: dict[str, Any], *needed: str) -> bool:
    """Whether a pre-tokenizer splits by a known regular expression, which has one of the needed alternatives."""
    regex = pre_tokenizer.get("pattern", {}).get("Regex", "")
    alternatives = _ALTERNATIVE.findall(regex)
    is_known = "|".join(alternatives) == regex and set(alternatives) <= _ALTERNATIVES
    return pre_tokenizer["type"] == "Split" and is_known and (not needed or bool(set(needed) & set(alternatives)))


def _ends_words(pre_tokenizer: dict[str, Any]) -> bool:
    """Whether a pre-tokenizer ends a word at every break."""
    if pre_tokenizer["type"] == "ByteLevel":
        return bool(pre_tokenizer.get("use_regex", True))
    how = (pre_tokenizer.get("behavior"), pre_tokenizer.get("invert"))
    if how == ("Isolated", False):
        return _is_known_split(pre_tokenizer, r"\s+")
    if how == ("Removed", True):  # removes what the expression does not match: only white space, or nothing
        return _is_known_split(pre_tokenizer, r"\s+", r"[\p{L}]+")
    return pre_tokenizer["type"] in _WORD_ENDING


def _ends_words_by_vocabulary(backend: Any) -> bool:
    """Whether no token has a space, written ▁, after another character, so that no token reaches across a break."""
    vocabulary = backend.get_vocab(with_added_tokens=False)
    is_known = type(backend.model).__name__ in ("BPE", "Unigram") and "▁" in vocabulary
    return is_known and not any("▁" in token.lstrip("▁") for token in vocabulary)
