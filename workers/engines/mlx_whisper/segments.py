"""Takes the tokens of a window apart into segments, as Whisper's authors do (openai/whisper, transcribe.py).

mlx-audio has this in the middle of its own loop over windows, which answers only when all are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

SECONDS = 0.02
"""What one step of a time token stands for."""


@dataclass(frozen=True, slots=True)
class TimedTokens:
    """Tokens between two times, in seconds from the window's start."""

    start: float
    end: float
    tokens: Sequence[int]


def segments(tokens: Sequence[int], first_time: int, seconds: float) -> tuple[list[TimedTokens], float]:
    """The segments of a window, and how much of it was read.

    `first_time` is the token of the time 0, and greater tokens are later times. Where one time follows another, a
    segment ends. If the last segment has no end, the window cuts it off, and the next one begins there.
    """
    is_time = [token >= first_time for token in tokens]
    breaks = [number for number, both in enumerate(map(all, pairwise(is_time)), 1) if both]
    if not breaks:
        times = [token for token, known in zip(tokens, is_time, strict=True) if known]
        end = (times[-1] - first_time) * SECONDS if times and times[-1] != first_time else seconds
        return [TimedTokens(0.0, end, tokens)], seconds
    ends_with_silence = is_time[-2:] == [False, True]  # one time at the end: nothing is said after it
    limits = [0, *breaks, *([len(tokens)] if ends_with_silence else [])]
    parts = [tokens[begin:end] for begin, end in pairwise(limits)]
    found = [TimedTokens((part[0] - first_time) * SECONDS, (part[-1] - first_time) * SECONDS, part) for part in parts]
    cut = (tokens[limits[-1] - 1] - first_time) * SECONDS
    read = seconds if ends_with_silence or not 0 < cut < seconds else cut
    return found, read
