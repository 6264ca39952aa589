"""Signatures of webhooks."""

from __future__ import annotations

import base64

import pytest

from contract.webhooks import check_secret, signed_headers


def test_signs_the_reference_vector_of_standard_webhooks() -> None:
    id_ = "msg_p5jXN8AQM9LWM0D4loKWxJek"
    headers = signed_headers("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", id_, 1614265330, b'{"test": 2432232314}')
    assert headers == {
        "webhook-id": id_,
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "a-secret",
        "whsec_not base64",
        f"whsec_{base64.b64encode(bytes(23)).decode()}",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    ],
)
def test_refuses_what_is_no_secret(secret: str) -> None:
    with pytest.raises(ValueError, match="24 to 64 bytes as base64"):
        check_secret(secret)
