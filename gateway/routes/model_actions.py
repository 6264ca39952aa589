"""Does what requests in dialects want with models: has the manager load, unload, pin or remove them."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from gateway.dialects.dialect import ModelAction
from gateway.forwarding.manager_client import ManagerClient


async def perform(manager: ManagerClient, action: ModelAction) -> None:
    """Have the manager do it. Raises the manager's ServeError."""
    name = quote(action.model, safe="")
    if action.kind == "unload":
        reply = await manager.call("POST", f"/evict/{name}", timeout=None)
    elif action.kind == "remove":
        reply = await manager.call("DELETE", f"/entries/{name}?entry=true", timeout=120)
    elif action.kind in {"pin", "unpin"}:
        reply = await manager.call("POST", f"/pin/{name}?pinned={str(action.kind == 'pin').lower()}")
    else:
        query = {"wait": "true" if action.wait else "false"}
        if action.keep_alive is not None:
            query["keep_alive"] = repr(action.keep_alive)
        reply = await manager.call("POST", f"/load/{name}?{urlencode(query)}", timeout=None)
    reply.json()
