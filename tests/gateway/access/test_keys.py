"""The keyring: which keys it knows, and whose they are."""

from __future__ import annotations

import pytest

from contract.config import ApiKey, GatewaySettings, SecuritySettings, Settings, hash_key
from contract.errors import Unauthorized
from gateway.access.keys import Keyring, owner_of


@pytest.mark.parametrize("placeholder", ["", "change-me"])
def test_placeholder_keys_require_no_key(placeholder: str) -> None:
    assert not Keyring(Settings(gateway=GatewaySettings(api_key=placeholder)))


def test_a_keys_hash_is_not_a_key() -> None:
    security = SecuritySettings(api_keys=(ApiKey(name="a", key_hash=hash_key("clé")),))
    keyring = Keyring(Settings(security=security))
    assert keyring.identify("clé".encode().decode("latin-1")).name == "a", "keys are compared as UTF-8"
    with pytest.raises(Unauthorized):
        keyring.identify(hash_key("clé"))


def test_revoked_owners_are_not_admitted() -> None:
    app = ApiKey(name="app", key_hash=hash_key("app-key"))
    keyring = Keyring(Settings(security=SecuritySettings(api_keys=(app,))))
    owner = owner_of(keyring.identify("app-key"))
    assert keyring.admits(owner)
    assert not keyring.admits("key:revoked")
    assert not keyring.admits("key:jwt:bob"), "tokens are not accepted"
    assert keyring.admits(owner_of(None)), "submitted while no key was required"
    with_tokens = Keyring(
        Settings(security=SecuritySettings(api_keys=(app,), jwt_secret="a-secret-of-many-characters"))
    )
    assert with_tokens.admits("key:jwt:bob")
    assert Keyring(Settings()).admits("key:revoked"), "without keys, every client may run anything"
