"""Bodies that are made to take much memory or time: each with the path that it is sent to."""

from __future__ import annotations

MIB = 2**20
LISTS = b",".join([b"[]"] * 100_000)
SAY = b'"messages":[{"role":"user","content":"hi"}]'
TOOL = b'{"type":"function","function":{"name":"f"}}'
REF = b'{"$ref":"#"}'
NAMES = b",".join(b'"%0400d":1' % number for number in range(40_000))
CHAT_SCHEMA = b"{" + SAY + b',"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":'


def form(*dispositions: bytes, value: bytes = b"x") -> bytes:
    """A multipart body with a part for each disposition, which may go on with headers."""
    parts = (
        b"--x\r\nContent-Disposition: form-data; " + disposition + b"\r\n\r\n" + value + b"\r\n"
        for disposition in dispositions
    )
    return b"".join(parts) + b"--x--\r\n"


HOSTILE = {
    "empty objects": ("/v1/embeddings", b'{"model":"ok","input":[' + b",".join([b"{}"] * 100_000) + b"]}"),
    "empty lists": ("/v1/embeddings", b'{"model":"ok","input":[' + LISTS + b"]}"),
    "numbers": ("/v1/embeddings", b'{"model":"ok","input":[' + b",".join([b"1"] * MIB) + b"]}"),
    "wrong messages": ("/v1/chat/completions", b'{"messages":[' + b",".join([b'{"role":"user"}'] * 100_000) + b"]}"),
    "unknown fields": ("/v1/chat/completions", b"{" + SAY + b',"x":[' + b"[[[[[[]]]]]]," * (MIB // 4) + b"0]}"),
    "allowed lists": ("/v1/chat/completions", b"{" + SAY + b',"x":[' + b",".join([b"[]"] * 49_000) + b"]}"),
    "biases": ("/v1/chat/completions", b"{" + SAY + b',"logit_bias":{' + b",".join([b'"1":"x"'] * 49_000) + b"}}"),
    "an external server": ("/v1/anything", b'{"model":"external","x":[' + b"[]," * MIB + b"0]}"),
    "a long name": ("/v1/chat/completions", b'{"model":"' + b"x" * 8 * MIB + b'",' + SAY + b"}"),
    "an external name": ("/v1/anything", b'{"model":"' + b"x" * 8 * MIB + b'"}'),
    "two models": ("/v1/chat/completions", b'{"model":[' + b"0," * 390_000 + b'0],"model":"external",' + SAY + b"}"),
    "a long text": ("/v1/chat/completions", b'{"messages":[{"role":"user","content":"' + b"\\n" * 4 * MIB + b'"}]}'),
    "not base64": ("/v1/vision/ocr", b'{"model":"reader","image":"' + b"A" * 8 * MIB + b'!"}'),
    "one long number": ("/v1/chat/completions", b'{"model":"ok",' + SAY + b',"seed":' + b"1" * 8 * MIB + b"}"),
    "deep metadata": ("/v1/chat/completions", b"{" + SAY + b',"metadata":' + b'{"a":' * 49_000 + b"1" + b"}" * 49_001),
    "many tools": ("/v1/chat/completions", b"{" + SAY + b',"tools":[' + b",".join([TOOL] * 9_000) + b"]}"),
    "a deep schema": ("/v1/chat/completions", CHAT_SCHEMA + b'{"items":' * 20_000 + b"{}" + b"}" * 20_003),
    "many references": ("/v1/chat/completions", CHAT_SCHEMA + b'{"anyOf":[' + b",".join([REF] * 15_000) + b"]}}}}"),
    "many parts": ("/v1/vision/ocr", form(*[b'name="images"'] * 10_000)),
    "many names": ("/v1/vision/ocr", form(*(b'name="%d"' % number for number in range(4900)))),
    "a part's long name": ("/v1/vision/ocr", form(b'name="' + b"x" * 4 * MIB + b'"')),
    "a part with many headers": ("/v1/vision/ocr", form(b'name="image"' + b"\r\nX: y" * 400_000)),
    "a part like a head": ("/v1/vision/ocr", form(*[b'name="Transfer-Encoding"; filename="Host: x"'] * 4900)),
    "a long model in a form": ("/v1/vision/ocr", form(b'name="model"', value=b"x" * 8 * MIB)),
    "objects in a form": ("/v1/vision/segment", form(b'name="prompts"', value=b"[" + b"[]," * MIB + b"0]")),
    "long numbers": ("/v1/embeddings", b'{"model":"ok","input":[' + b",".join([b"1" * 4000] * 4000) + b"]}"),
    "white space": ("/v1/chat/completions", b"{" + SAY + b',"x":' + b"\n" * 16 * MIB + b"1}"),
    "many short texts": ("/v1/chat/completions", b"{" + SAY + b',"x":[' + b'"",' * 390_000 + b"0]}"),
    "long names": ("/v1/chat/completions", b"{" + SAY + b',"x":{' + NAMES + b"}}"),
    "a wide text": ("/v1/chat/completions", b"{" + SAY + b',"x":"' + "é".encode() * 8 * MIB + "😀".encode() + b'"}'),
    "a wide text in a form": ("/v1/vision/ocr", form(b'name="x"', value=b"x" * 16 * MIB + "😀".encode())),
    "a file as a text": ("/v1/vision/detect", form(b'name="prompt"; filename="x"', value="你".encode() * 5 * MIB)),
    "an unknown file": ("/v1/vision/ocr", form(b'name="x"; filename="x"', value=b"\xff" * 16 * MIB)),
    "a boundary that never comes": ("/v1/vision/ocr", b"\r\n--" + b"--x\r\n--" * MIB),
}  # fmt: skip


def content_type(body: bytes) -> str:
    """The type of one of the bodies."""
    return "application/json" if body.startswith(b"{") else "multipart/form-data; boundary=x"


def allowed(body: bytes) -> int:
    """The most memory that a body may take: a multiple of its size, and the limits of `contract.json_bounds`."""
    return max(24 * MIB, 8 * len(body))
