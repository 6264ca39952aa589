"""Which models an error recommends instead of one that cannot do what a request asks."""

from __future__ import annotations

import pytest

from contract.errors import UnsupportedFeature
from contract.status import ModelStatus
from contract.tasks.chat import ChatRequest
from gateway.forwarding.model_table import ModelTable
from tests.support.fake_models import model

TABLE = ModelTable(
    ModelStatus.model_validate(entry)
    for entry in (
        model("plain", tasks=["chat"], features=[]),
        model("sampler", tasks=["chat"], features=["sampling"]),
        model("external", tasks=["chat"], engine="command", features=["*"]),
        model("reader", tasks=["ocr"], features=["sampling"]),
    )
)


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ({"top_k": 3}, "does not support it. Leave it out, or use sampler."),
        ({"audio": {"voice": "x"}}, "does not support it. Leave it out, or use external if that server supports it."),
        (
            {"top_k": 3, "guideline": "x"},
            "does not support them. Leave them out, or use external if that server supports them.",
        ),
    ],
)
def test_recommends_what_is_known_to_be_able(fields: dict[str, object], hint: str) -> None:
    request = ChatRequest.model_validate({"messages": [{"role": "user", "content": "x"}], **fields})
    with pytest.raises(UnsupportedFeature) as refused:
        TABLE.check_features("chat", TABLE.get("plain"), request)
    assert hint in refused.value.message


@pytest.mark.parametrize(
    "entry",
    [
        {"id": "depth-indoor-small", "source": "/models/my-own-copy"},
        {"id": "mine", "source": "/models/my-own-copy", "aliases": ["depth-indoor-small"]},
        {"id": "mine", "source": "depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf"},
    ],
)
def test_catalogues_other_names_mean_the_entry_for_its_model(entry: dict[str, object]) -> None:
    table = ModelTable([ModelStatus.model_validate({**model("x", tasks=["depth"]), **entry})])
    found = table.find_known("vits-hypersim")
    assert found is not None
    assert found.id == entry["id"]
