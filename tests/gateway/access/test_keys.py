"""The keyring: which keys it knows, and whose they are."""

from __future__ import annotations

import pytest

from contract.config import ApiKey, GatewaySettings, SecuritySettings, Settings, hash_key
from contract.errors import Unauthorized
from gateway.access.keys import Keyring


@pytest.mark.parametrize("placeholder", ["", "change-me"])
def test_placeholder_keys_require_no_key(placeholder: str) -> None:
    assert not Keyring(Settings(gateway=GatewaySettings(api_key=placeholder)))


def test_a_keys_hash_is_not_a_key() -> None:
    security = SecuritySettings(api_keys=(ApiKey(name="a", key_hash=hash_key("clé")),))
    keyring = Keyring(Settings(security=security))
    assert keyring.identify("clé".encode().decode("latin-1")).name == "a", "keys are compared as UTF-8"
    with pytest.raises(Unauthorized):
        keyring.identify(hash_key("clé"))
