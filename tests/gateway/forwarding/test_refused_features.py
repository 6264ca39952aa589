"""What a refusal of a request says that needs a feature which its model does not have."""

from __future__ import annotations

import pytest

from contract.errors import UnsupportedFeature
from contract.status import ModelStatus
from contract.tasks.chat import ChatRequest
from contract.tasks.embeddings import EmbeddingsRequest
from gateway.forwarding.model_table import ModelTable

MODEL = ModelStatus(id="m", engine="sentence_transformers", tasks=("embeddings",))


def test_refusal_of_token_ids_says_how_langchain_sends_texts() -> None:
    for tokens in ([1, 2], [[1, 2], [3]]):
        with pytest.raises(UnsupportedFeature, match="check_embedding_ctx_length=False") as refusal:
            ModelTable([MODEL]).check_features("embeddings", MODEL, EmbeddingsRequest(input=tokens))
        assert refusal.value.param == "input"


@pytest.mark.parametrize(
    ("part", "instead"),
    [
        ({"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0="}}, "its pages, or an image, as"),
        ({"type": "input_file", "file_id": "file-1"}, "Send the text of a document"),
        ({"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}, "POST /v1/audio/transcriptions"),
        ({"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AA=="}}, "some of its frames"),
        ({"type": "tool_result", "tool_use_id": "t", "content": "1"}, "with the role tool and `tool_call_id`"),
        ({"type": "thinking", "thinking": "Hm."}, "`reasoning_content`"),
        ({"type": "hologram"}, "A part is of type text, image_url,"),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_refusal_of_a_part_says_what_to_send_instead(part: dict[str, object], instead: str) -> None:
    seer = ModelStatus(id="seer", engine="transformers_chat", tasks=("chat",), features=("images",))
    request = ChatRequest.model_validate({"messages": [{"role": "user", "content": [part]}]})
    with pytest.raises(UnsupportedFeature) as refusal:
        ModelTable([seer]).check_features("chat", seer, request)
    assert refusal.value.message.startswith(f"`messages` ({part['type']}): the model seer")
    assert instead in refusal.value.message
    assert " or use " not in refusal.value.message, "no model can do it"


def test_truncation_is_refused_where_the_engine_has_none() -> None:
    with pytest.raises(UnsupportedFeature, match="`truncate`"):
        ModelTable([MODEL]).check_features("embeddings", MODEL, EmbeddingsRequest(input="Hi", truncate=True))
    ModelTable([MODEL]).check_features("embeddings", MODEL, EmbeddingsRequest(input="Hi", truncate=False))
