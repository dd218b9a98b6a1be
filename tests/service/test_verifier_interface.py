# SPDX-License-Identifier: Apache-2.0
"""The verifier's interface: its description is whole, and nothing that fits or misfits it makes the service fail."""

import asyncio
import re

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from test_openapi import operations, references
from verifier_rig import CardOffice, query

from identity.api.verifier.asking import CREDENTIALS, Asked

EXAMPLES_MAX = 8
"""For each operation, each a request; all together stay within some seconds."""


@pytest.fixture
def office(sqlite_rig):
    return CardOffice(sqlite_rig, settings="[limits]\naddress_per_second = 100000\naddress_burst = 100000\n")


async def described(office):
    async with office.serving() as bank:
        return (await bank.http.get("/openapi.json")).json()


async def test_description_names_each_operation_its_refusals_and_nothing_that_dangles(office):
    document = await described(office)
    assert document["openapi"] == "3.1.0"
    found = list(operations(document))
    paths = {path for path, _, _ in found}
    assert {"/v1/verifications", "/v1/card-logins/{identifier}/answer", "/v1/mandates/check", "/oidc/token"} <= paths
    ids = [operation["operationId"] for _, _, operation in found]
    assert len(set(ids)) == len(ids)
    for path, _, operation in found:
        assert re.fullmatch(r"[a-z][A-Za-z]+", operation["operationId"]), path
        assert operation["summary"].strip(), path
        assert list(operation["responses"]["default"]["content"]) == ["application/problem+json"], path
        declared = {item["name"] for item in operation.get("parameters", []) if item["in"] == "path"}
        assert declared == set(re.findall(r"{(\w+)}", path)), path
    schemas = document["components"]["schemas"]
    used = set(references(document))
    assert used == {f"#/components/schemas/{name}" for name in schemas}
    assert all("hide_input" not in str(schema) for schema in schemas.values())


async def test_each_endpoint_for_programs_asks_for_their_key(office):
    document = await described(office)
    async with office.serving() as bank:
        for path, method, operation in operations(document):
            if path.startswith("/v1/"):
                assert operation["security"] == [{"HTTPBearer": []}], path
                address = path.replace("{identifier}", "0" * 32)
                body = {} if method in {"post", "put"} else None
                response = await bank.http.request(method, address, json=body)
                assert response.status_code in {401, 422}, (path, response.status_code)
                if response.status_code == 422:
                    assert response.json()["code"] == "request.invalid"


def test_requests_made_from_the_description_never_make_the_service_fail(office):
    with asyncio.Runner() as runner:
        document = runner.run(described(office))
        schema = schemathesis.openapi.from_dict(document)
        manager = office.serving()
        bank = runner.run(manager.__aenter__())
        asked = Asked.new(CREDENTIALS, 101, None)
        made = runner.run(office.verifier.ask(office.bank, asked, query("age_over_18")))
        count = 0

        async def sent(case) -> httpx.Response:
            kwargs = case.as_transport_kwargs(base_url=office.origin)
            headers = dict(kwargs.pop("headers", None) or {})
            headers |= bank.headers
            url = kwargs.pop("url").replace("%7Btoken%7D", made.token)
            allowed = {name: kwargs[name] for name in ("params", "json", "data", "cookies") if kwargs.get(name)}
            cookies = allowed.pop("cookies", None)
            if cookies:
                headers["cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
            if isinstance(allowed.get("data"), str | bytes):
                allowed["content"] = allowed.pop("data")
            return await bank.http.request(kwargs["method"], url, headers=headers, **allowed)

        for result in schema.get_all_operations():
            operation = result.ok()

            @settings(
                max_examples=EXAMPLES_MAX,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy())
            def attack(case) -> None:
                nonlocal count
                try:
                    response = runner.run(sent(case))
                except (UnicodeEncodeError, httpx.InvalidURL, httpx.LocalProtocolError, TypeError):
                    return  # no client can send it
                count += 1
                assert response.status_code < 500, (case.path, response.text)

            attack()
        runner.run(manager.__aexit__(None, None, None))
    assert count > 100
