"""Verifies JSON web tokens."""

from __future__ import annotations

from typing import Any

from contract.errors import Unauthorized


def verify(token: str, secret: str) -> dict[str, Any]:
    """The claims of an HS256 token that was signed with `secret`. Raises Unauthorized."""
    import jwt

    try:
        # The audience is not checked: a token may have been issued for several services.
        options = {"require": ["exp"], "verify_aud": False}
        claims: dict[str, Any] = jwt.decode(token, secret, algorithms=["HS256"], options=options)  # type: ignore[arg-type]
    except jwt.ExpiredSignatureError:
        raise Unauthorized("This token has expired. Request a new one.") from None
    except jwt.PyJWTError as error:
        raise Unauthorized(f"This token is not valid: {error}. It must use HS256 and contain `exp`.") from None
    return claims
