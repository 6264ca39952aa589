"""What happens to each known field of requests for completions: OpenAI's, and those of servers with an API like it.

Source: platform.openai.com/docs/api-reference/completions, and the documentation of vLLM and llama.cpp's server.
"""

from __future__ import annotations

from contract.known_fields import FieldTable, honoured, refused
from contract.tasks.chat.fields import FIELDS as CHAT_FIELDS
from contract.tasks.chat.sampling import SampledRequest

_ALTERNATIVES = "The value of `n` asks for nothing either. Send `n`: all choices are answered."
OWN_FIELDS: FieldTable = {
    **honoured("OpenAI", "model prompt max_tokens", hint="`max_tokens` is 16 by default; -1: no limit."),
    **honoured("OpenAI", "echo", hint="With `logprobs`, it needs `prompt_logprobs`."),
    **honoured("OpenAI", "logprobs", hint="Needs `logprobs`."),
    **honoured("OpenAI", "suffix", feature="fill_in_middle", hint="Only models for code have tokens for it."),
    **honoured("vLLM", "add_special_tokens", hint="`false` leaves out tokens such as BOS."),
    **refused("OpenAI", "best_of", also=(1,), hint=_ALTERNATIVES),
}
"""The fields that a chat does not have, or has with another meaning."""
_OF_CHAT = (
    "response_format structured_outputs guided_json guided_regex guided_choice guided_grammar json_schema grammar "
    "regex ebnf tools"
)
_FORMS = refused("vLLM, SGLang, llama.cpp", _OF_CHAT, hint="Send a chat, which honours it.")

FIELDS: FieldTable = {
    **OWN_FIELDS,
    **{
        name: field
        for name, field in CHAT_FIELDS.items()
        if name not in OWN_FIELDS and (field.treatment != "honoured" or name in SampledRequest.model_fields)
    },
    **_FORMS,
}
