"""What happens to each known field of chat requests: OpenAI's, and those of servers with an API like it.

Sources: the API reference of OpenAI, and the documentation of vLLM, SGLang, llama.cpp's server, Ollama, LM Studio, TGI,
OpenRouter and LiteLLM.
"""

from __future__ import annotations

from contract.known_fields import FieldTable, honoured, ignored, neutral, refused

_LENGTH = "Send `max_completion_tokens`."
_THINKING = "Send `reasoning_effort`."
_PARAMETER = "It only matters beside a refused field."

FIELDS: FieldTable = {
    # The request, and its size
    **honoured("OpenAI", "model messages stream stream_options n max_tokens max_completion_tokens stop seed"),
    **honoured("OpenAI", "temperature top_p"),
    **honoured("Ollama, Enginehouse", "keep_alive"),
    # Sampling
    **honoured("vLLM, SGLang, llama.cpp, LM Studio", "top_k", feature="sampling", also=(-1,)),
    **honoured("vLLM, SGLang, llama.cpp", "min_p", feature="sampling"),
    **honoured("vLLM, SGLang", "repetition_penalty", feature="sampling", also=(1,)),
    **honoured("llama.cpp, Ollama, LM Studio", "repeat_penalty", feature="sampling", also=(1,)),
    **honoured("OpenAI", "frequency_penalty presence_penalty", feature="penalties"),
    **honoured("OpenAI", "logit_bias", feature="logit_bias"),
    **honoured("OpenAI", "logprobs top_logprobs", feature="logprobs"),
    **honoured("vLLM, SGLang", "min_tokens stop_token_ids ignore_eos", feature="token_control"),
    # Tools, forms of answers and reasoning: `features` says what they need
    **honoured("OpenAI", "tools tool_choice parallel_tool_calls", hint="Needs `tools`."),
    **honoured("OpenAI, until 2023", "functions function_call", hint="Needs `tools`."),
    **honoured("OpenAI", "response_format", hint="JSON needs `structured_output`."),
    **honoured("vLLM", "guided_json guided_regex guided_choice guided_grammar", feature="structured_output"),
    **honoured("vLLM", "structured_outputs", hint="Needs `structured_output`. A `structural_tag` is refused."),
    **honoured("llama.cpp, SGLang", "json_schema", feature="structured_output"),
    **honoured("llama.cpp, TGI", "grammar", feature="structured_output"),
    **honoured("SGLang", "regex ebnf", feature="structured_output"),
    **honoured("OpenAI", "reasoning_effort", hint="Needs `reasoning`, except for `none`."),
    **honoured("OpenRouter, Ollama", "reasoning", hint="`effort` and `enabled` count."),
    **honoured("Qwen, Ollama, LiteLLM", "enable_thinking think thinking", hint="Needs `reasoning`, if it is on."),
    **honoured("vLLM, SGLang, llama.cpp", "chat_template_kwargs", feature="template"),
    **honoured("vLLM, SGLang", "continue_final_message", feature="prefill"),
    **honoured("OpenAI's Responses", "truncation", feature="truncation", also=("disabled",)),
    **honoured("vLLM", "add_generation_prompt", hint="`false` needs `prefill`."),
    # What cannot be denied
    **neutral("OpenAI", "user metadata store service_tier safety_identifier prediction"),
    **neutral("OpenAI", "prompt_cache_key prompt_cache_retention", hint="Prompts are cached in any case."),
    **neutral("llama.cpp", "cache_prompt timings_per_token return_progress id_slot n_keep n_discard parse_tool_calls"),
    **neutral("vLLM, SGLang", "request_id rid priority cache_salt extra_key guided_decoding_backend"),
    **neutral("vLLM, SGLang, OpenRouter", "include_reasoning separate_reasoning stream_reasoning"),
    **neutral("LM Studio", "ttl draft_model", hint="`keep_alive` says how long the model stays."),
    **neutral("OpenRouter", "transforms usage provider session_id trace"),
    **neutral("LiteLLM", "drop_params additional_drop_params allowed_openai_params custom_llm_provider"),
    **neutral("LiteLLM", "num_retries timeout litellm_session_id tags"),
    **neutral("llama.cpp", "mirostat_tau mirostat_eta dynatemp_exponent", hint=_PARAMETER),
    **neutral("llama.cpp", "dry_base dry_allowed_length dry_penalty_last_n dry_sequence_breakers", hint=_PARAMETER),
    **neutral("llama.cpp", "xtc_threshold min_keep grammar_lazy grammar_triggers", hint=_PARAMETER),
    **neutral("vLLM", "guided_whitespace_pattern", hint=_PARAMETER),
    **ignored("OpenRouter, LiteLLM", "models route fallbacks", hint="config.yaml decides which model answers."),
    # What would change the answer
    **refused("OpenAI", "audio", hint="Answers are texts."),
    **refused("OpenAI", "modalities", also=(["text"],), hint="Answers are texts."),
    **refused("OpenAI", "verbosity", also=("medium",), hint="Say in a message how long the answer shall be."),
    **refused("OpenAI, OpenRouter", "web_search_options", only=(None,)),
    **refused("OpenRouter", "plugins top_a"),
    **refused("vLLM, SGLang", "structural_tag"),
    **refused("SGLang", "stop_regex custom_logit_processor custom_params lora_path session_params"),
    **refused("TGI", "guideline tool_prompt"),
    **refused("vLLM", "best_of length_penalty", also=(1,)),
    **refused("vLLM", "use_beam_search logits_processors prompt_logprobs echo documents"),
    **refused("vLLM", "allowed_token_ids bad_words include_stop_str_in_output truncate_prompt_tokens"),
    **refused("vLLM, SGLang", "skip_special_tokens spaces_between_special_tokens", only=(None, True)),
    **refused("vLLM", "chat_template", hint="An entry's `options` may have a `chat_template`."),
    **refused("vLLM", "add_special_tokens return_tokens_as_token_ids return_token_ids mm_processor_kwargs vllm_xargs"),
    **refused("SGLang", "return_hidden_states no_stop_trim"),
    **refused("llama.cpp", "mirostat dynatemp_range dry_multiplier xtc_probability samplers lora response_fields"),
    **refused("llama.cpp", "typical_p tfs_z", also=(1,)),
    **refused("llama.cpp", "top_n_sigma repeat_last_n", also=(-1,)),
    **refused("llama.cpp", "penalize_nl return_tokens"),
    **refused("llama.cpp", "n_probs post_sampling_probs", hint="Send `logprobs` and `top_logprobs`."),
    **refused("llama.cpp", "n_predict n_indent t_max_predict_ms", also=(-1,), hint=_LENGTH),
    **refused("TGI", "max_new_tokens", hint=_LENGTH),
    **refused("Ollama", "options format num_ctx num_predict", hint="Send the fields of OpenAI's API."),
    **refused("vLLM, Qwen", "thinking_budget thinking_token_budget", also=(-1,), hint=_THINKING),
    **refused("llama.cpp", "reasoning_format", also=("auto", "deepseek"), hint="Thoughts come as `reasoning_content`."),
    **refused("llama.cpp", "reasoning_budget thinking_forced_open", also=(-1,), hint=_THINKING),
    **refused("LiteLLM", "mock_response guardrails"),
}
