"""The packages of the clients that `make e2e` tests, each in an environment of its own. docs/clients.md names them."""

from __future__ import annotations

PYTHON_CLIENTS: dict[str, tuple[str, ...]] = {
    "cohere_client": ("cohere==7.3.1",),
    "haystack_agent": ("haystack-ai==3.4.1",),
    "instructor_modes": ("instructor==1.17.0",),
    "langchain_agent": ("langchain==1.5.2", "langchain-openai==1.7.4"),
    "langchain_providers": ("langchain==1.5.2", "langchain-ollama==1.1.0", "langchain-anthropic==1.7.10"),
    "litellm_client": ("litellm==1.110.2",),
    "llama_index_agent": (
        "llama-index-core==0.14.25",
        "llama-index-llms-openai-like==0.8.1",
        "llama-index-embeddings-openai-like==0.4.0",
    ),
    "llm_cli": ("llm==0.36",),
    "ollama_client": ("ollama==0.6.3",),
    "openai_agents": ("openai-agents==0.24.0",),
    "pydantic_ai_agent": ("pydantic-ai-slim[openai]==2.68.0",),
    "smolagents_agents": ("smolagents[openai]==1.26.0",),
    "tei_clients": (
        "llama-index-core==0.14.25",
        "llama-index-embeddings-text-embeddings-inference==0.6.0",
        "llama-index-postprocessor-tei-rerank==0.6.0",
    ),
}
"""The packages of each script in tests/e2e/clients/python."""
