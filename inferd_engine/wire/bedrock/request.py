"""Map a checked request to the JSON of Bedrock's Converse.

Converse is Anthropic's Messages in other words: system apart, two speakers who take turns, results
of tools in the user's turn, signed thoughts, marks for a cache.  So a request is mapped to Messages
first, with all that has to be known for that, and each thing is said in Converse's words then.

What differs in substance: bytes alone, no addresses; a document has a name of few characters; no
choice "none" (the tools are left out); what only some models know (``top_k``, ``thinking``) goes
into ``additionalModelRequestFields``; a schema is text.

Sources: Amazon Bedrock API reference, "ConverseStream"; botocore's model of the service.
"""

from __future__ import annotations

import base64
import json
import re
from hashlib import sha256
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import attrs

from inferd_engine.errors import AttachmentUnsupportedError, UnsupportedError
from inferd_engine.proto.v2 import check_resolved
from inferd_engine.wire.anthropic.request import body_from as messages_body_from
from inferd_engine.wire.request.merging import merged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from inferd_engine.proto.v2 import ResolvedV2
    from inferd_engine.wire.anthropic.dialect import Dialect

MAX_TOKENS = 1024
"""Of a request that has no limit: some models generate nothing without one."""
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9()\[\]-]+")
_LONGEST_NAME, _LONGEST_ID = 200, 64  # characters: of a document, of a call
_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_FORMATS = {
    "application/pdf": "pdf",
    "text/plain": "txt",
    "text/markdown": "md",
    "text/html": "html",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
}


def body_from(resolved: ResolvedV2, dialect: Dialect) -> dict[str, Any]:
    """Return the JSON object to post; the model is in the address.

    Args:
        resolved: The checked request.
        dialect: The upstream's ways, as for Messages.

    Raises:
        AttachmentUnsupportedError: A message shows what is not sent.
        UnsupportedError: The request says what this protocol has no words for.
        InvalidRequestError: Something else cannot be sent; the message names the place.
    """
    check_resolved(resolved)
    if resolved.parallel_tool_calls is False:
        raise UnsupportedError(
            "parallel_tool_calls is False, which Bedrock's Converse has no word for: leave it out"
        )
    plain = attrs.evolve(resolved, extra_body={})
    said = messages_body_from(plain, attrs.evolve(dialect, extra_body={}))
    body: dict[str, Any] = {
        "messages": [
            {"role": turn["role"], "content": _blocks(turn["content"])} for turn in said["messages"]
        ],
        "inferenceConfig": _inference(said),
    }
    if said.get("system"):
        system = said["system"]
        parts = [{"type": "text", "text": system}] if isinstance(system, str) else system
        body["system"] = _blocks(parts)
    if said.get("tools") and said.get("tool_choice", {}).get("type") != "none":
        body["toolConfig"] = _tools(said["tools"], said.get("tool_choice"))
    more = {name: said[name] for name in ("top_k", "thinking") if name in said}
    if more:
        body["additionalModelRequestFields"] = more
    if "output_config" in said:
        body["outputConfig"] = _output(said["output_config"])
    return merged(body, merged(dialect.extra_body, resolved.extra_body))


def _inference(said: Mapping[str, Any]) -> dict[str, Any]:
    names = {
        "max_tokens": "maxTokens",
        "temperature": "temperature",
        "top_p": "topP",
        "stop_sequences": "stopSequences",
    }
    return {ours: said[name] for name, ours in names.items() if name in said}


def _output(config: Mapping[str, Any]) -> dict[str, Any]:
    output: dict[str, Any] = {}
    if "effort" in config:
        output["effort"] = config["effort"]
    if "format" in config:
        schema = {"schema": json.dumps(config["format"]["schema"], ensure_ascii=False)}
        output["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": schema}}
    return output


def _tools(tools: Iterable[Mapping[str, Any]], choice: Mapping[str, Any] | None) -> dict[str, Any]:
    specs: list[dict[str, Any]] = []
    for tool in tools:
        kept = {name: tool[name] for name in ("name", "description", "strict") if name in tool}
        specs.append({"toolSpec": {**kept, "inputSchema": {"json": tool["input_schema"]}}})
        specs += _cache_point(tool)
    config: dict[str, Any] = {"tools": specs}
    if choice is not None:
        named = {"name": choice["name"]} if "name" in choice else {}
        config["toolChoice"] = {choice["type"]: named}
    return config


def _cache_point(marked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what follows something that is marked for the cache: a block of its own."""
    control = marked.get("cache_control")
    if control is None:
        return []
    ttl = {"ttl": control["ttl"]} if "ttl" in control else {}
    return [{"cachePoint": {"type": "default", **ttl}}]


def _blocks(blocks: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [said for block in blocks for said in (_block(block), *_cache_point(block))]


def _block(block: Mapping[str, Any]) -> dict[str, Any]:
    name, say = _WORDS[block["type"]]
    return {name: say(block)}


def _image(block: Mapping[str, Any]) -> dict[str, Any]:
    held = _bytes_of(block["source"], "an image")
    media_type = block["source"]["media_type"]
    if media_type not in _IMAGES:
        raise AttachmentUnsupportedError(
            f"an image is of type {media_type}: Bedrock takes {', '.join(_IMAGES)}"
        )
    return {"format": media_type.rpartition("/")[2], **held}


def _call(block: Mapping[str, Any]) -> dict[str, Any]:
    return {"toolUseId": _id(block["id"]), "name": block["name"], "input": block["input"]}


def _id(call_id: str) -> str:
    """Give a call's id as it may be sent: LiteLLM's, with a signature in it, is longer."""
    return call_id if len(call_id) <= _LONGEST_ID else sha256(call_id.encode()).hexdigest()


def _thought(block: Mapping[str, Any]) -> dict[str, Any]:
    return {"reasoningText": {"text": block["thinking"], "signature": block["signature"]}}


def _result(block: Mapping[str, Any]) -> dict[str, Any]:
    content = block["content"]
    parts = [{"text": content}] if isinstance(content, str) else _blocks(content)
    status = {"status": "error"} if block.get("is_error") else {}
    return {"toolUseId": _id(block["tool_use_id"]), "content": parts, **status}


def _document(block: Mapping[str, Any]) -> dict[str, Any]:
    source = block["source"]
    if source["type"] == "text":
        encoded = base64.b64encode(source["data"].encode()).decode("ascii")
        source = {**source, "type": "base64", "data": encoded}
    held = _bytes_of(source, "a document")
    media_type = source["media_type"]
    kind = _FORMATS.get(media_type)
    if kind is None:
        raise AttachmentUnsupportedError(
            f"a document is of type {media_type}: Bedrock takes {', '.join(_FORMATS)}"
        )
    stem = block.get("title", "").removesuffix(f".{kind}")
    name = _NOT_IN_NAMES.sub(" ", stem)[:_LONGEST_NAME].strip() or "document"
    return {"format": kind, "name": name, **held}


def _bytes_of(source: Mapping[str, Any], what: str) -> dict[str, Any]:
    if source["type"] != "base64":
        raise AttachmentUnsupportedError(
            f"{what} is shown by its address: give its bytes, Bedrock fetches nothing"
        )
    return {"source": {"bytes": source["data"]}}


# What a block of Messages is called here, and how it is said.
_WORDS: dict[str, tuple[str, Callable[[Mapping[str, Any]], Any]]] = {
    "text": ("text", itemgetter("text")),
    "image": ("image", _image),
    "document": ("document", _document),
    "tool_use": ("toolUse", _call),
    "tool_result": ("toolResult", _result),
    "thinking": ("reasoningContent", _thought),
    "redacted_thinking": ("reasoningContent", lambda block: {"redactedContent": block["data"]}),
}
