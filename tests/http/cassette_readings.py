"""What a recorded interaction must be seen as, read from its JSON with as little code as possible.

Written apart from the dialects, and knowing nothing of them: that two readings agree is the point.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import unquote

from otel_llm.llm import LLMCall
from otel_llm_http.dialects import Limits, recognise
from tests.http.cassettes import Interaction


@dataclass
class Reading:
    """What must be seen of a call; None where the recording does not tell."""

    operation: str
    provider: str
    model: str | None
    input_tokens: int | None = None
    output_tokens: int | None = None
    finish_reasons: list[str] = field(default_factory=list)
    tool_calls: list[str] = field(default_factory=list)
    response_id: str | None = None
    stream: bool = False
    failed: bool = False


def seen(interaction: Interaction) -> LLMCall | None:
    """Return what the dialects make of an interaction."""
    endpoint = recognise(interaction.method, interaction.host, interaction.path)
    if endpoint is None or not endpoint.confirm(interaction.request_body):
        return None
    parser = endpoint.parser(Limits())
    parser.request(interaction.request_body, interaction.request_headers.get("content-type"))
    parser.response(interaction.status, interaction.response_headers)
    parser.feed(interaction.body)
    return parser.end()


def differences(expected: Reading, call: LLMCall) -> list[str]:
    """Return in what the two disagree."""
    usage = call.usage
    actual = Reading(
        operation=call.operation,
        provider=call.provider,
        model=call.request_model,
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
        finish_reasons=call.finish_reasons,
        tool_calls=[
            part["name"]
            for message in call.output_messages
            for part in message["parts"]
            if part["type"] == "tool_call"
        ],
        response_id=call.response_id,
        stream=call.stream,
        failed=call.error is not None,
    )
    return [
        f"{f.name} ({getattr(expected, f.name)!r} expected, {getattr(actual, f.name)!r} seen)"
        for f in fields(Reading)
        if getattr(expected, f.name) != getattr(actual, f.name)
    ]


def why_not(interaction: Interaction) -> str:
    """Return why an interaction is no model call."""
    if interaction.host == "api.agentops.ai":
        return "no call: telemetry of another tool"
    if interaction.path.endswith("/opamp"):
        return "no call: OpAMP (protobuf)"
    if interaction.host == "testserver":
        return "no call: a web application's own endpoint"
    return "no call"


def shape(path: str) -> str:
    """Return a path with what varies left out."""
    path = re.sub(r"/(resp|interaction|v1)[_-][^/]+$", "/{id}", path)
    path = re.sub(r"/projects/[^/]+/locations/[^/]+", "/projects/{p}/locations/{l}", path)
    return re.sub(r"/(models?)/[^/:]+(?:%3A\d)?(?=[:/])", r"/\1/{model}", path)


def events(body: bytes) -> list[Any]:
    """Return the JSON of a stream's events, by lines."""
    out = []
    for line in body.decode().splitlines():
        line = line.removeprefix("data:").strip()
        if line.startswith("{"):
            out.append(json.loads(line))
    return out


def read(interaction: Interaction) -> Reading | None:
    """Return what must be seen, None for what is no model call."""
    for method, pattern, reader in _READERS:
        if interaction.method == method and (
            match := re.search(pattern, interaction.host + interaction.path)
        ):
            return reader(interaction, match)
    return None


def _asked(interaction: Interaction) -> dict[str, Any]:
    return json.loads(interaction.request_body or b"{}")


def _is_stream(interaction: Interaction) -> bool:
    kind = interaction.response_headers.get("content-type", "")
    return "event-stream" in kind or "stream+json" in kind


def _chat(interaction: Interaction, match: re.Match[str]) -> Reading:
    providers = {
        "api.openai.com": "openai",
        "api.groq.com": "groq",
        "api.mistral.ai": "mistral_ai",
        "openrouter.ai": "openrouter",
        "api.ai21.com": "ai21",
    }
    asked = _asked(interaction)
    out = Reading("chat", providers[interaction.host], asked["model"], stream=asked.get("stream") is True)
    if interaction.status >= 400:
        out.failed = True
        return out
    bodies = events(interaction.body) if _is_stream(interaction) else [json.loads(interaction.body)]
    reasons: dict[int, str] = {}
    tools: dict[tuple[int, int], str] = {}
    for body in bodies:
        out.response_id = out.response_id or body.get("id")
        usage = body.get("usage") or (body.get("x_groq") or {}).get("usage")
        if usage:
            out.input_tokens, out.output_tokens = usage["prompt_tokens"], usage["completion_tokens"]
        for choice in body["choices"]:
            if choice.get("finish_reason"):
                reasons[choice["index"]] = choice["finish_reason"]
            told = choice.get("delta") or choice.get("message") or {}
            for at, tool in enumerate(told.get("tool_calls") or ()):
                if name := tool["function"].get("name"):
                    tools[choice["index"], tool.get("index", at)] = name
    out.finish_reasons = [reasons[index] for index in sorted(reasons)]
    out.tool_calls = [tools[key] for key in sorted(tools)]
    return out


def _embeddings(interaction: Interaction, match: re.Match[str]) -> Reading:
    out = Reading("embeddings", "openai", _asked(interaction)["model"])
    if interaction.status >= 400:
        out.failed = True
    else:
        out.input_tokens = json.loads(interaction.body)["usage"]["prompt_tokens"]
    return out


def _responses(interaction: Interaction, match: re.Match[str]) -> Reading:
    fetched = interaction.method == "GET"
    asked = _asked(interaction)
    out = Reading(
        "fetch_response" if fetched else "chat",
        "openai",
        asked.get("model"),
        stream=asked.get("stream") is True,
    )
    if interaction.status >= 400:
        out.failed = True
        return out
    if _is_stream(interaction):
        told = [event for event in events(interaction.body) if "response" in event]
        failures = [event for event in events(interaction.body) if event.get("type") == "error"]
        out.failed = bool(failures)
        if not told:
            return out
        body = told[-1]["response"]
    else:
        body = json.loads(interaction.body)
    out.response_id = body["id"]
    status = body["status"]
    if status in {"completed", "incomplete", "failed", "cancelled"} or not _is_stream(interaction):
        out.finish_reasons = [(body.get("incomplete_details") or {}).get("reason") or status]
    elif not fetched:
        out.finish_reasons = ["error"]
    out.failed = out.failed or (status == "failed" and not fetched)
    if body.get("usage") and not fetched:
        out.input_tokens, out.output_tokens = body["usage"]["input_tokens"], body["usage"]["output_tokens"]
    out.tool_calls = [
        item["name"] for item in body["output"] if item["type"] in {"function_call", "custom_tool_call"}
    ]
    return out


def _anthropic(interaction: Interaction, match: re.Match[str]) -> Reading:
    asked = _asked(interaction)
    out = Reading("chat", "anthropic", asked["model"], stream=asked.get("stream") is True)
    if interaction.status >= 400:
        out.failed = True
        return out
    _anthropic_body(
        out, events(interaction.body) if _is_stream(interaction) else json.loads(interaction.body)
    )
    return out


def _anthropic_body(out: Reading, told: Any) -> None:
    usage: dict[str, Any] = {}
    blocks = []
    if isinstance(told, list):
        for event in told:
            if event["type"] == "message_start":
                out.response_id = event["message"]["id"]
                usage.update(event["message"]["usage"])
            elif event["type"] == "content_block_start":
                blocks.append(event["content_block"])
            elif event["type"] == "message_delta":
                out.finish_reasons = [event["delta"]["stop_reason"]]
                usage.update({key: value for key, value in event["usage"].items() if value is not None})
            elif event["type"] == "error":
                out.failed = True
        if not any(event["type"] == "message_stop" for event in told) and not out.finish_reasons:
            out.finish_reasons = ["error"]
    else:
        out.response_id = told["id"]
        out.finish_reasons = [told["stop_reason"]]
        blocks, usage = told["content"], told["usage"]
    if usage:
        out.input_tokens = sum(
            usage.get(key) or 0
            for key in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
        )
        out.output_tokens = usage["output_tokens"]
    out.tool_calls = [block["name"] for block in blocks if block["type"] == "tool_use"]


def _gemini(interaction: Interaction, match: re.Match[str]) -> Reading:
    provider = "gcp.gemini" if interaction.host.startswith("generativelanguage") else "gcp.vertex_ai"
    stream = match["verb"] == "streamGenerateContent"
    out = Reading("generate_content", provider, match["model"], stream=stream)
    if interaction.status >= 400:
        out.failed = True
        return out
    bodies = events(interaction.body) if _is_stream(interaction) else json.loads(interaction.body)
    for body in bodies if isinstance(bodies, list) else [bodies]:
        out.response_id = out.response_id or body.get("responseId")
        for candidate in body.get("candidates", ()):
            if "finishReason" in candidate:
                # Vertex's own SDK asks for enumerations as numbers.
                out.finish_reasons.append({1: "STOP", 2: "MAX_TOKENS"}.get(r := candidate["finishReason"], r))
            for part in candidate.get("content", {}).get("parts", ()):
                if "functionCall" in part:
                    out.tool_calls.append(part["functionCall"]["name"])
        if "promptTokenCount" in (counts := body.get("usageMetadata", {})):
            out.input_tokens = counts["promptTokenCount"] + counts.get("toolUsePromptTokenCount", 0)
            out.output_tokens = counts.get("candidatesTokenCount", 0) + counts.get("thoughtsTokenCount", 0)
    return out


def _gemini_embeddings(interaction: Interaction, match: re.Match[str]) -> Reading:
    out = Reading("embeddings", "gcp.gemini", match["model"])
    out.input_tokens = json.loads(interaction.body).get("usageMetadata", {}).get("promptTokenCount")
    return out


def _interactions(interaction: Interaction, match: re.Match[str]) -> Reading:
    fetched = interaction.method == "GET"
    asked = _asked(interaction)
    out = Reading(
        "fetch_response" if fetched else "generate_content",
        "gcp.gemini",
        asked.get("model"),
        stream=asked.get("stream") is True,
    )
    if interaction.status >= 400:
        out.failed = True
        return out
    bodies = events(interaction.body) if _is_stream(interaction) else [json.loads(interaction.body)]
    steps = []
    for body in bodies:
        out.failed = out.failed or body.get("event_type") == "error"
        steps += [body["step"]] if "step" in body else []
        body = body.get("interaction", body)
        out.response_id = out.response_id or (body.get("id") if "status" in body else None)
        if "usage" in body and not fetched:
            usage = body["usage"]
            out.input_tokens = usage["total_input_tokens"] + usage.get("total_tool_use_tokens", 0)
            out.output_tokens = usage["total_output_tokens"] + usage.get("total_thought_tokens", 0)
        if "usage" in body or not _is_stream(interaction):
            out.finish_reasons = [body["status"]]
        steps += body.get("steps", ())
    out.tool_calls = [step["name"] for step in steps if step["type"] == "function_call"]
    return out


def _cohere_v1(interaction: Interaction, match: re.Match[str]) -> Reading:
    asked = _asked(interaction)
    body = events(interaction.body)[-1] if asked["stream"] else json.loads(interaction.body)
    body = body.get("response", body)
    billed = body["meta"]["billed_units"]
    return Reading(
        "chat",
        "cohere",
        asked.get("model"),
        input_tokens=billed["input_tokens"],
        output_tokens=billed["output_tokens"],
        finish_reasons=[body["finish_reason"]],
        response_id=body["response_id"],
        stream=asked["stream"],
    )


def _frames(body: bytes) -> list[tuple[str, Any]]:
    """Return type and JSON of the binary events of a stream from AWS."""
    out = []
    while body:
        total, headers = struct.unpack_from(">II", body)
        kind = re.search(
            rb":(?:event|exception)-type\x07..([\w]+?)(?:\r:|\x0b:|$)", body[12 : 12 + headers], re.DOTALL
        )
        assert kind is not None
        out.append((kind[1].decode(), json.loads(body[12 + headers : total - 4])))
        body = body[total:]
    return out


def _under(key: str, value: Any) -> Iterator[Any]:
    """Yield whatever stands under a key, anywhere."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key:
                yield inner
            yield from _under(key, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _under(key, inner)


def _bedrock(interaction: Interaction, match: re.Match[str]) -> Reading:
    model = unquote(match["model"])
    verb = match["verb"]
    chat = verb.startswith("converse") or "nova" in model or "anthropic" in model
    out = Reading("chat" if chat else "text_completion", "aws.bedrock", model, stream="stream" in verb)
    if interaction.status >= 400:
        out.failed = True
        return out
    if out.stream:
        told: list[Any] = []
        for kind, event in _frames(interaction.body):
            if kind.endswith("Exception"):
                out.failed = True
            elif verb == "converse-stream":
                told.append({kind: event})
            else:
                told.append(json.loads(base64.b64decode(event["bytes"])))
    else:
        told = [json.loads(interaction.body)]
    if "anthropic" in model and verb.startswith("invoke"):
        _anthropic_body(out, told if out.stream else told[0])
        return out
    counts = [
        interaction.response_headers.get(f"x-amzn-bedrock-{kind}-token-count") for kind in ("input", "output")
    ]
    for body in told:
        flat = json.dumps(body)
        for reason in re.findall(
            r'"(?:stopReason|completionReason|stop_reason|finish_reason)": "(\w+)"', flat
        ):
            out.finish_reasons = [reason]
        out.tool_calls += [use["name"] for use in _under("toolUse", body) if "name" in use]
        if found := re.findall(r'"inputToken(?:s|Count)": (\d+), "outputToken(?:s|Count)": (\d+)', flat):
            counts = list(found[-1])
    if any(counts):
        out.input_tokens, out.output_tokens = map(int, counts)
    if not chat:
        out.response_id = told[0].get("response_id") or told[0].get("id")
    if not out.finish_reasons:
        out.finish_reasons = ["error"]
    return out


_READERS = (
    ("POST", r"/chat/completions$", _chat),
    ("POST", r"^api\.openai\.com/v1/embeddings$", _embeddings),
    ("POST", r"^api\.openai\.com/v1/responses$", _responses),
    ("GET", r"^api\.openai\.com/v1/responses/[^/]+$", _responses),
    ("POST", r"^api\.anthropic\.com/v1/messages$", _anthropic),
    ("POST", r"googleapis\.com/.*/models/(?P<model>[^/:]+):(?P<verb>(?:streamG|g)enerateContent)$", _gemini),
    ("POST", r"googleapis\.com/.*/models/(?P<model>[^/:]+):batchEmbedContents$", _gemini_embeddings),
    ("POST", r"googleapis\.com/v1beta/interactions$", _interactions),
    ("GET", r"googleapis\.com/v1beta/interactions/[^/]+$", _interactions),
    ("POST", r"^api\.cohere\.com/v1/chat$", _cohere_v1),
    (
        "POST",
        r"amazonaws\.com/model/(?P<model>[^/]+)/(?P<verb>converse|converse-stream|invoke|invoke-with.*)$",
        _bedrock,
    ),
)
