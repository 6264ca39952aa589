"""Writes server-sent events. Source: html.spec.whatwg.org/multipage/server-sent-events.html."""

from __future__ import annotations


def server_event(data: bytes, name: str = "", id_: int | None = None) -> bytes:
    """An event with JSON, which has no line breaks of its own. `id_` is the position from which a client goes on."""
    head = f"event: {name}\n".encode() if name else b""
    if id_ is not None:
        head += b"id: %d\n" % id_
    return b"%bdata: %b\n\n" % (head, data)
