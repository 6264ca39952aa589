"""API keys: which there are, new ones, other limits and scopes, and their end. All take effect at once."""

from __future__ import annotations

import secrets
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from contract.asgi.body import read_body
from contract.config import ConfigError, hash_key
from contract.configuration import KeyDescription, KeyList, NewKey
from contract.errors import InvalidField, KeyConflict, NotFound
from contract.lazy_model import LazyModel
from contract.validation import invalid_request
from gateway.access.keys import Keyring, Principal
from gateway.access.operator import require_operator
from gateway.access.rate_limits import windows_of
from gateway.configuration import FollowedConfiguration
from gateway.forwarding.manager_client import ManagerClient
from gateway.forwarding.model_directory import ModelDirectory
from gateway.routes.configuration import applied
from gateway.routes.models import path_parameter

_MAX_BODY = 4096
_PATIENCE = 120.0
_OF_GATEWAY = "gateway"


class KeyChange(LazyModel):
    """Parts of a key that change; null removes the limit."""

    model_config = ConfigDict(extra="forbid")

    rate_limit: str | None = Field(None, max_length=200)
    scopes: list[Literal["admin"]] = Field([])


class KeyOrder(KeyChange):
    """A key that is to be made: what it is for, and what it may do."""

    name: str = Field(min_length=1, max_length=100, pattern=r"^[\w.@+ -]+$")


class KeyRoutes:
    """The routes about keys. The manager writes them into the file, since it may be on another machine."""

    def __init__(
        self, manager: ManagerClient, directory: ModelDirectory, configuration: FollowedConfiguration, keyring: Keyring
    ) -> None:
        self._manager, self._directory = manager, directory
        self._configuration, self._keyring = configuration, keyring

    async def overview(self, request: Request) -> Response:
        """The keys that are valid, by name: never the keys themselves. Needs the scope `admin`."""
        require_operator(request.scope)
        page = KeyList(keys=self._keys(), required=bool(self._keyring), tokens=self._keyring.accepts_tokens)
        return Response(page.model_dump_json(), media_type="application/json")

    async def add(self, request: Request) -> Response:
        """Make a key, which is shown in this answer only: its hash is stored. Needs the scope `admin`.

        The first key needs the scope `admin` itself, because requests need a key from then on.
        """
        require_operator(request.scope)
        order = await _order(request, KeyOrder)
        _check_limit(order.name, order.rate_limit)
        if not self._keyring and "admin" not in order.scopes:
            message = "The first key must have the scope admin: requests need a key from then on, also to make others."
            raise InvalidField(message, param="scopes")
        if order.name in {key.name for key in self._keys()}:
            raise KeyConflict(f"There is a key {order.name!r} already. Revoke it first, or choose another name.")
        key = secrets.token_urlsafe(32)
        entry = {"name": order.name, "key_hash": hash_key(key), "rate_limit": order.rate_limit, "scopes": order.scopes}
        await self._tell("POST", entry)
        made = NewKey(name=order.name, rate_limit=order.rate_limit, scopes=list(order.scopes), key=key)
        return Response(made.model_dump_json(), 201, media_type="application/json")

    async def change(self, request: Request) -> Response:
        """Change a key's rate limit, its scopes, or both. Needs the scope `admin`."""
        require_operator(request.scope)
        name = self._changeable(request)
        change = await _order(request, KeyChange)
        _check_limit(name, change.rate_limit)
        if "scopes" in change.model_fields_set and "admin" not in change.scopes:
            self._check_another_admin(name, "lose the scope admin")
        await self._tell("PATCH", {"name": name, **change.model_dump(include=change.model_fields_set)})
        known = next((key for key in self._keys() if key.name == name), KeyDescription(name=name))
        return Response(known.model_dump_json(), media_type="application/json")

    async def revoke(self, request: Request) -> Response:
        """Revoke a key: requests with it are refused from now on. Needs the scope `admin`."""
        require_operator(request.scope)
        name = self._changeable(request)
        self._check_not_own(request.scope, name)
        self._check_another_admin(name, "be revoked")
        await self._tell("DELETE", {"name": name})
        return JSONResponse({"revoked": name})

    def router(self) -> APIRouter:
        """All of them."""
        routes, named, path = APIRouter(tags=["system"]), path_parameter("name", "my-app"), "/v1/system/keys"
        by_name = f"{path}/{{name:path}}"
        routes.get(path, summary="The API keys", response_model=None)(self.overview)
        routes.post(path, summary="Make an API key", response_model=None)(self.add)
        routes.patch(by_name, summary="Change an API key", response_model=None, openapi_extra=named)(self.change)
        routes.delete(by_name, summary="Revoke an API key", response_model=None, openapi_extra=named)(self.revoke)
        return routes

    def _keys(self) -> list[KeyDescription]:
        return [_describe(principal) for principal in self._keyring.principals]

    def _changeable(self, request: Request) -> str:
        name: str = request.path_params["name"]
        known = next((key for key in self._keys() if key.name == name), None)
        if known is None:
            raise NotFound(f"There is no key {name[:200]!r}; GET /v1/system/keys lists them.")
        if known.source != "configuration":
            message = f"The key {name!r} comes from {known.source}: change it there."
            raise KeyConflict(message)
        return name

    def _check_not_own(self, scope: Scope, name: str) -> None:
        principal: Principal | None = scope.get("principal")
        if principal and principal.name == name:
            raise KeyConflict(f"{name!r} is the key of this request. Revoke it with another one, or with the command.")

    def _check_another_admin(self, name: str, what: str) -> None:
        others = [key for key in self._keys() if key.name != name]
        if not any("admin" in key.scopes for key in others):
            message = f"The key {name!r} cannot {what}: it is the only one with the scope admin. Make another first."
            raise KeyConflict(message)

    async def _tell(self, method: str, entry: dict[str, Any]) -> None:
        reply = await self._manager.call(method, "/keys", content=entry, timeout=_PATIENCE)
        reply.json()  # raises the manager's error
        await applied(self._directory, self._configuration)


def _describe(principal: Principal) -> KeyDescription:
    source = "configuration"
    if principal.name == _OF_GATEWAY and principal.admin:
        source = "gateway.api_key (GATEWAY_API_KEY)"
    elif principal.name.startswith("env-"):
        source = "API_KEYS"
    scopes = ["admin"] if principal.admin else []
    return KeyDescription(name=principal.name, rate_limit=principal.rate_limit, scopes=scopes, source=source)


def _check_limit(name: str, rate_limit: str | None) -> None:
    if rate_limit is not None:
        try:
            windows_of(name, rate_limit)
        except ConfigError:
            message = "The rate limit is not valid; write one such as 60/minute, or 10/second; 1000/day."
            raise InvalidField(message, param="rate_limit") from None


async def _order(request: Request, model: type[Any]) -> Any:
    body = await read_body(request.scope, request.receive, _MAX_BODY)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise invalid_request(error) from None
