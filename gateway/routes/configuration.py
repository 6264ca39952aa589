"""The configuration file: as it is, checked before it is saved, and saved whole or not at all."""

from __future__ import annotations

from typing import Any

import yaml
from fastapi import APIRouter
from pydantic import ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from contract.asgi.body import read_body
from contract.config import ConfigError
from contract.configuration import ConfigurationCheck
from contract.configuration_text import ConfigurationProblem, UnusableText, line_of
from contract.errors import BadRequest, InvalidField
from contract.lazy_model import LazyModel
from contract.validation import invalid_request
from contract.yaml_file import read_yaml
from gateway.access.allowlist import Allowlist
from gateway.access.operator import require_operator
from gateway.access.rate_limits import windows_of
from gateway.configuration import FollowedConfiguration
from gateway.forwarding.manager_client import ManagerClient
from gateway.forwarding.model_directory import ModelDirectory

_MAX_BODY = 2 << 20
_PATIENCE = 120.0
"""Seconds that the manager may take: it asks each engine about its entries."""
_ETAG = {
    "parameters": [
        {
            "name": "if-match",
            "in": "header",
            "required": True,
            "description": "The etag of the text that was edited: another one means that the file has changed since.",
            "schema": {"type": "string"},
            "example": '"4b3c0d…"',
        }
    ]
}


class ConfigurationText(LazyModel):
    """A text of the configuration file. Values that were hidden when it was read may stay so."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(max_length=1 << 20)


class ConfigurationFileRoutes:
    """The routes, for admins; where no key is required, for clients on the gateway's machine."""

    def __init__(self, manager: ManagerClient, directory: ModelDirectory, configuration: FollowedConfiguration) -> None:
        self._manager, self._directory, self._configuration = manager, directory, configuration

    async def show(self, request: Request) -> Response:
        """The configuration file and the settings in force; secrets are hidden in both. Needs the scope `admin`."""
        require_operator(request.scope)
        page = (await self._manager.call("GET", "/configuration")).json()
        return JSONResponse(page, headers={"etag": f'"{page["etag"]}"'})

    async def check(self, request: Request) -> Response:
        """What saving a text would do: problems with their lines, and the difference. Needs the scope `admin`."""
        require_operator(request.scope)
        order = {"text": await _text(request)}
        reply = await self._manager.call("POST", "/configuration/check", content=order, timeout=_PATIENCE)
        result, problems = ConfigurationCheck.model_validate(reply.json()), access_problems(order["text"])
        result.valid, result.problems = result.valid and not problems, [*result.problems, *problems]
        return Response(result.model_dump_json(), media_type="application/json")

    async def save(self, request: Request) -> Response:
        """Replace the file, if it is valid and still the one that was edited, and apply it. Needs the scope `admin`.

        `If-Match` has the file's etag. Only the file itself may change what lets an entry run programs: `python`,
        `env`, `trust_remote_code`, and the entries of the engine `command`.
        """
        require_operator(request.scope)
        text = await _text(request)
        etag = request.headers.get("if-match", "").removeprefix("W/").strip('"')
        if not etag:
            message = "The header If-Match must have the etag of the text that you edited, as GET answers it."
            raise InvalidField(message, param="if-match")
        if problems := access_problems(text):
            details = {"problems": [problem.model_dump() for problem in problems]}
            raise BadRequest(f"The configuration was not changed: {problems[0].message}", details=details)
        order = {"text": text, "etag": etag}
        reply = await self._manager.call("PUT", "/configuration", content=order, timeout=_PATIENCE)
        saved = reply.json()
        await applied(self._directory, self._configuration)
        return JSONResponse(saved, headers={"etag": f'"{saved["etag"]}"'})

    def router(self) -> APIRouter:
        """All of them."""
        routes, path = APIRouter(tags=["system"]), "/v1/system/configuration"
        routes.get(path, summary="The configuration", response_model=None)(self.show)
        routes.post(f"{path}/check", summary="Check a configuration", response_model=None)(self.check)
        routes.put(path, summary="Save the configuration", response_model=None, openapi_extra=_ETAG)(self.save)
        return routes


async def applied(directory: ModelDirectory, configuration: FollowedConfiguration) -> None:
    """Put what the manager has just saved in force here too. Raises BadRequest if that is impossible."""
    await directory.refresh()
    try:
        await configuration.reload()
    except ConfigError as error:
        raise BadRequest(f"The file was saved, but the gateway cannot put it in force: {error}") from None


def access_problems(text: str) -> list[ConfigurationProblem]:
    """What only the gateway can check: rate limits, and the networks of the allowlist."""
    try:
        document = read_yaml(text)
        security: Any = document.get("security") if isinstance(document, dict) else None
        security = security if isinstance(security, dict) else {}
        keys = security.get("api_keys")
        found = []
        for number, key in enumerate(keys if isinstance(keys, list) else ()):
            if isinstance(key, dict) and isinstance(limit := key.get("rate_limit"), str):
                place = ("security", "api_keys", number, "rate_limit")
                found += _problem(text, place, windows_of, str(key.get("name")), limit)
        networks = security.get("ip_allowlist")
        networks = networks.split(",") if isinstance(networks, str) else networks
        if isinstance(networks, list):
            found += _problem(text, ("security", "ip_allowlist"), Allowlist, [str(part).strip() for part in networks])
    except (yaml.YAMLError, UnusableText):
        return []  # the manager says what is wrong with the text
    return found


def _problem(text: str, place: tuple[str | int, ...], build: Any, *arguments: Any) -> list[ConfigurationProblem]:
    try:
        build(*arguments)
    except ConfigError as error:
        key = ".".join(map(str, place))
        return [ConfigurationProblem(message=str(error), line=line_of(text, place), key=key)]
    return []


async def _text(request: Request) -> str:
    body = await read_body(request.scope, request.receive, _MAX_BODY)
    try:
        return ConfigurationText.model_validate_json(body).text
    except ValidationError as error:
        raise invalid_request(error) from None
