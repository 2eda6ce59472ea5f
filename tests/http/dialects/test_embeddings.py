"""Embeddings of all providers: lengths and counts, never vectors."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from otel_llm import semconv as sc
from otel_llm.llm import LLMCall, Usage
from otel_llm_http.dialects._vectors import dimension, slimmed
from tests.http.dialects.exchanges import call

VECTOR = [0.001 * n - 0.5 for n in range(1536)]
URL = "https://api.openai.com/v1/embeddings"


def openai(*vectors: Any) -> dict[str, Any]:
    data = [{"object": "embedding", "index": n, "embedding": vector} for n, vector in enumerate(vectors)]
    return {
        "object": "list",
        "model": "e-2026",
        "data": data,
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }


@pytest.mark.parametrize(
    "vector", [VECTOR, base64.b64encode(bytes(4 * 1536)).decode()], ids=["numbers", "base64"]
)
def test_openai(vector: Any) -> None:
    asked = {"model": "e", "input": ["a", "b"], "encoding_format": "float", "dimensions": 1536}
    expected = LLMCall(
        "embeddings",
        "openai",
        request_model="e",
        request={sc.REQUEST_ENCODING_FORMATS: ("float",), sc.EMBEDDINGS_DIMENSION_COUNT: 1536},
        response_model="e-2026",
        response={sc.EMBEDDINGS_DIMENSION_COUNT: 1536},
        usage=Usage(7),
        complete=True,
    )
    for indent in (None, 1):
        assert call(URL, asked, json.dumps(openai(vector, vector), indent=indent).encode()) == expected


CASES = [
    (
        "https://api.cohere.com/v2/embed",
        {"model": "e", "texts": ["a"], "embedding_types": ["float", "int8"], "output_dimension": 1536},
        {
            "id": "r1",
            "embeddings": {"float": [VECTOR], "int8": [[1, 2]]},
            "texts": ['[1, 2, "3"] [4, 5' * 30, str(VECTOR[:100])],
            "meta": {"billed_units": {"input_tokens": 7}},
        },
        "cohere",
        {sc.REQUEST_ENCODING_FORMATS: ("float", "int8"), sc.EMBEDDINGS_DIMENSION_COUNT: 1536},
    ),
    (
        "https://api.cohere.com/v1/embed",
        {"model": "e", "texts": ["a"]},
        {"id": "r1", "embeddings": [VECTOR, VECTOR], "meta": {"billed_units": {"input_tokens": 7}}},
        "cohere",
        {},
    ),
    (
        "http://127.0.0.1:11434/api/embed",
        {"model": "e", "input": "a"},
        {"model": "e", "embeddings": [VECTOR], "prompt_eval_count": 7},
        "ollama",
        {},
    ),
    (
        "https://generativelanguage.googleapis.com/v1beta/models/e:embedContent",
        {"content": {"parts": [{"text": "a"}]}, "outputDimensionality": 1536},
        {"embedding": {"values": VECTOR}, "usageMetadata": {"promptTokenCount": 7}},
        "gcp.gemini",
        {sc.EMBEDDINGS_DIMENSION_COUNT: 1536},
    ),
    (
        "https://generativelanguage.googleapis.com/v1beta/models/e:batchEmbedContents",
        {"requests": [{"content": {"parts": [{"text": "a"}]}}]},
        {"embeddings": [{"values": VECTOR}, {"values": VECTOR}], "usageMetadata": {"promptTokenCount": 7}},
        "gcp.gemini",
        {},
    ),
    (
        "https://l-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/google/models/gecko-e:predict",
        {"instances": [{"content": "a"}], "parameters": {"outputDimensionality": 1536}},
        {
            "predictions": [
                {"embeddings": {"values": VECTOR, "statistics": {"token_count": 3, "truncated": False}}},
                {"embeddings": {"values": VECTOR, "statistics": {"token_count": 4, "truncated": False}}},
            ]
        },
        "gcp.vertex_ai",
        {sc.EMBEDDINGS_DIMENSION_COUNT: 1536},
    ),
]


@pytest.mark.parametrize(
    ("url", "asked", "answer", "provider", "request_"), CASES, ids=[case[0] for case in CASES]
)
def test_others(url: str, asked: Any, answer: Any, provider: str, request_: dict[str, Any]) -> None:
    got = call(url, asked, answer)
    assert (got.operation, got.provider, got.request, got.complete) == (
        "embeddings",
        provider,
        request_,
        True,
    )
    assert got.response == {sc.EMBEDDINGS_DIMENSION_COUNT: 1536}
    assert got.usage == Usage(7)
    assert got.error is None
    assert got.finish_reasons == []


def test_an_answer_without_vectors_is_malformed() -> None:
    got = call(URL, {"model": "e", "input": "a"}, {"data": None})
    assert got.error is not None
    assert got.error.type == "malformed_response"
    assert got.finish_reasons == [], "an embedding has none"


def test_slimming_leaves_valid_json_whatever_stands_between_brackets() -> None:
    long = "[" + ", ".join(map(str, range(100))) + "]"
    for body in (
        b'{"a": ' + long.encode() + b', "b": ' + long.encode() * 30 + b"}",  # broken to begin with
        json.dumps({"text": long * 40, "n": [1.5] * 900}).encode(),
        json.dumps({"text": "[1, 2 and no end" * 200, "v": [[1] * 200, [2] * 200]}).encode(),
        json.dumps({"v": [[1] * 900, ["x"] * 900, [None] * 900, [{"a": 1}] * 300]}).encode(),
    ):
        slim = slimmed(body)
        try:
            whole = json.loads(body)
        except ValueError:
            continue
        assert set(json.loads(slim)) == set(whole)
        assert len(slim) < len(body)


def test_the_length_of_a_vector_survives_slimming() -> None:
    body = json.dumps({"data": [{"embedding": VECTOR}, {"embedding": VECTOR}]}).encode()
    assert len(slimmed(body)) < 100
    assert dimension(json.loads(slimmed(body))["data"][0]["embedding"]) == 1536
    assert dimension([1, 2, 3]) == 3
    assert dimension([1, 2], "ubinary") == 16
    assert dimension("AAAAAA==") == 1
    assert dimension([]) is None
    assert dimension(None) is None
