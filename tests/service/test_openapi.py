# SPDX-License-Identifier: Apache-2.0
"""The description of a service's interface is whole: what a linter for OpenAPI 3.1 would ask for."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from http_rig import ORIGIN, Counter, caller, service

METHODS = {"get", "put", "post", "delete", "patch", "head", "options"}


@pytest.fixture
async def described() -> dict[str, Any]:
    async with caller(service(Counter())) as web:
        document: dict[str, Any] = (await web.get("/openapi.json")).json()
        return document


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        assert set(item) <= METHODS
        yield from ((path, method, operation) for method, operation in item.items())


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


async def test_every_operation_has_an_id_a_summary_tags_and_problems_as_refusals(described: dict[str, Any]) -> None:
    found = list(operations(described))
    assert {path for path, _, _ in found} >= {"/health", "/ready", "/problems/{code}", "/orders", "/wallet/answer"}
    ids = [operation["operationId"] for _, _, operation in found]
    assert len(set(ids)) == len(ids)
    tags = {tag["name"] for tag in described["tags"]}
    for path, _, operation in found:
        assert re.fullmatch(r"[a-z][A-Za-z]+", operation["operationId"]), path
        assert operation["summary"].strip(), path
        assert operation["tags"], path
        assert set(operation["tags"]) <= tags, path
        refusal = operation["responses"]["default"]
        assert list(refusal["content"]) == ["application/problem+json"], path
        assert any(status.startswith("2") for status in operation["responses"]), path
        assert all(response["description"] for response in operation["responses"].values()), path


async def test_every_parameter_of_a_path_is_described_and_every_reference_leads_somewhere(
    described: dict[str, Any],
) -> None:
    for path, _, operation in operations(described):
        declared = {item["name"] for item in operation.get("parameters", []) if item["in"] == "path"}
        assert declared == set(re.findall(r"{(\w+)}", path))
    used = set(references(described))
    schemas = described["components"]["schemas"]
    assert "#/components/schemas/Problem" in used
    assert used == {f"#/components/schemas/{name}" for name in schemas}, "nothing dangles, nothing lies about"


async def test_description_says_what_it_is_and_where_it_is_reached(described: dict[str, Any]) -> None:
    assert described["openapi"] == "3.1.0"
    assert described["info"]["title"]
    assert described["info"]["version"]
    assert described["info"]["license"]["identifier"] == "Apache-2.0"
    assert described["servers"] == [{"url": ORIGIN}]


async def test_pages_and_metrics_are_no_part_of_the_interface(described: dict[str, Any]) -> None:
    assert not {"/metrics", "/page", "/forms", "/next"} & set(described["paths"])


async def test_problem_documents_are_as_described(described: dict[str, Any]) -> None:
    schema = described["components"]["schemas"]["Problem"]
    async with caller(service(Counter())) as web:
        for answer in (await web.get("/nowhere"), await web.post("/orders", json={"amount": "x"})):
            document = answer.json()
            assert set(schema["required"]) <= set(document) <= set(schema["properties"])
            assert re.fullmatch(schema["properties"]["request_id"]["pattern"], document["request_id"])
