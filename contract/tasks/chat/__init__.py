"""chat: text and images in, text and calls of tools out, streamed or whole, like OpenAI's chat completions.

`request` and `response` are its two sides, `messages`, `tools` and `response_format` parts of a request. `features`
says what a request asks of an engine, `folding` combines the chunks of a stream.

Source: platform.openai.com/docs/api-reference/chat.
"""

from __future__ import annotations

from contract.tasks import Task
from contract.tasks.chat.folding import fold
from contract.tasks.chat.messages import (
    CalledFunction,
    ImagePart,
    ImageUrl,
    Message,
    OtherPart,
    Part,
    RefusalPart,
    TextPart,
    ToolCall,
)
from contract.tasks.chat.request import ChatRequest
from contract.tasks.chat.response import (
    AnsweredCall,
    AnsweredFunction,
    AssistantMessage,
    ChatChunk,
    ChatResponse,
    ChatUsage,
    Choice,
    ChunkChoice,
    CompletionTokensDetails,
    Delta,
    FunctionDelta,
    Logprobs,
    PromptTokensDetails,
    TokenLogprob,
    ToolCallDelta,
    TopLogprob,
)
from contract.tasks.chat.response_format import JsonSchemaFormat, ResponseFormat
from contract.tasks.chat.sampling import SampledRequest, StreamOptions
from contract.tasks.chat.tools import FunctionTool, Tool, ToolChoice, ToolUse
from contract.tasks.usage_chunks import wants_chunk

__all__ = [
    "CHAT",
    "AnsweredCall",
    "AnsweredFunction",
    "AssistantMessage",
    "CalledFunction",
    "ChatChunk",
    "ChatRequest",
    "ChatResponse",
    "ChatUsage",
    "Choice",
    "ChunkChoice",
    "CompletionTokensDetails",
    "Delta",
    "FunctionDelta",
    "FunctionTool",
    "ImagePart",
    "ImageUrl",
    "JsonSchemaFormat",
    "Logprobs",
    "Message",
    "OtherPart",
    "Part",
    "PromptTokensDetails",
    "RefusalPart",
    "ResponseFormat",
    "SampledRequest",
    "StreamOptions",
    "TextPart",
    "TokenLogprob",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolChoice",
    "ToolUse",
    "TopLogprob",
    "fold",
]


CHAT = Task(
    "chat",
    "/v1/chat/completions",
    ChatRequest,
    ChatResponse,
    chunk=ChatChunk,
    fold=fold,
    wants_chunk=wants_chunk,
    inputs=("text",),
    outputs=("text",),
    example={"messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 20},
)
