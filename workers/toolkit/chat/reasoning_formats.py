"""How families of models mark their thoughts in the text that they generate."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AnswerFrame:
    """The marks around the text of an answer, for models whose answers have several parts.

    `opening` comes in front of the text, unless the prompt ends with it, and `closing` between the text and calls.
    `turn` comes between a thought and either of them. `needs_text`: calls always have a text before them, which may be
    empty. `marks` are all of these marks and others, of which none is part of an answer.
    """

    opening: str
    closing: str
    marks: tuple[str, ...]
    turn: str = ""
    needs_text: bool = False


@dataclass(frozen=True, slots=True)
class ReasoningFormat:
    """Thoughts are between `begin` and `end`. The prompt may end with `begin`: then the answer begins in a thought.

    A thought also ends where `before` comes, which belongs to what follows: some models call tools while they think.
    `may_skip`: an answer without thoughts begins with `end`.
    `template_words`: a chat template that has one of them belongs to a model that thinks in this format.
    `frame`: the marks around the text of the answer, if there are any.
    """

    name: str
    begin: str
    end: str
    template_words: tuple[str, ...] = ()
    before: str = ""
    may_skip: bool = False
    frame: AnswerFrame | None = None

    def fits(self, template: str) -> bool:
        """Whether a chat template belongs to a model that thinks in this format."""
        return any(word in template for word in self.template_words or (self.begin, self.end))

    def is_open_in(self, prompt: str) -> bool:
        """Whether the prompt ends inside a thought, because its chat template has begun one."""
        return prompt.rstrip().endswith(self.begin.rstrip())


HARMONY = ReasoningFormat("harmony", "<|channel|>analysis<|message|>", "<|end|>", ("<|channel|>analysis",))
"""gpt-oss: `harmony.py` reads its channels."""

_RESPONSE, _RESPONSE_END = "<|open|>response<|sep|>", "<|close|>response<|sep|>"
_KIMI_FRAME = AnswerFrame(
    _RESPONSE, _RESPONSE_END, (_RESPONSE, _RESPONSE_END, "<|close|>message<|sep|>"), needs_text=True
)
_CONTENT, _END, _TURN = "<|content|>", "<|end|>", "<|begin|>assistant"
_SOLAR_FRAME = AnswerFrame(_CONTENT, _END + _TURN, (_CONTENT, _END, _TURN, "<|flush|>"), turn=_TURN)

_FORMATS = (
    HARMONY,
    ReasoningFormat("kimi_k3", "<|open|>think<|sep|>", "<|close|>think<|sep|>", ("<|open|>",), frame=_KIMI_FRAME),
    ReasoningFormat("solar_open", "<|think|>", "<|end|>", ("<|think|>",), frame=_SOLAR_FRAME),
    ReasoningFormat("gemma4", "<|channel>thought\n", "<channel|>", ("<|channel>thought",)),
    ReasoningFormat("mistral", "[THINK]", "[/THINK]"),
    ReasoningFormat("command", "<|START_THINKING|>", "<|END_THINKING|>"),
    ReasoningFormat("apertus", "<|inner_prefix|>", "<|inner_suffix|>", before="<|tools_prefix|>"),
    ReasoningFormat("hunyuan", "<think:opensource>", "</think:opensource>", ("'<think{}>'",)),
    ReasoningFormat("minimax_m3", "<mm:think>", "</mm:think>", may_skip=True),
    ReasoningFormat("seed", "<seed:think>", "</seed:think>"),
    ReasoningFormat("kimi_vl", "◁think▷", "◁/think▷"),
    ReasoningFormat("granite", "Here is my thought process:", "Here is my response:"),
    ReasoningFormat("think", "<think>", "</think>"),
)
REASONING_FORMATS = {written.name: written for written in _FORMATS}


def find_reasoning_format(template: str) -> ReasoningFormat | None:
    """The format of a model's thoughts by its chat template; None if the template knows none."""
    return next((written for written in _FORMATS if written.fits(template)), None)
