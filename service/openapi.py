# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI 3.1 description of a service: what the framework derives, with problem documents as each refusal.

Source: OpenAPI Specification 3.1.1; RFC 9457.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.problems import MEDIA_TYPE
from service.settings import Address

PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "Why a request was refused or failed (RFC 9457).",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "description": "Where the kind is explained"},
        "title": {"type": "string", "description": "What happened, in the language asked for"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "What it means here and what to do"},
        "code": {"type": "string", "description": "Stable; docs/service-codes.md lists them"},
        "request_id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["where", "what"],
                "properties": {
                    "where": {"type": "string", "description": "The place in the request"},
                    "what": {"type": "string"},
                    "claim": {"type": "string", "description": "Which claim it is about, such as address/region"},
                },
            },
        },
        "ledger_code": {"type": "string", "description": "The ledger's own code; docs/codes.md lists them"},
    },
}

_REFUSED: dict[str, Any] = {
    "description": "Refused or failed",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def describe(app: FastAPI, address: Address) -> dict[str, Any]:
    """The description, made once.

    Args:
        app: Whose routes.
        address: Where it is reached.
    """
    if app.openapi_schema is not None:
        return app.openapi_schema
    made = get_openapi(
        title=app.title,
        version=app.version,
        openapi_version="3.1.0",
        summary="A service on the Zhixin ledger",
        routes=app.routes,
        servers=[{"url": address.public_origin}],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    schemas = made.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):  # the framework's own form of 422, which nothing answers
        schemas.pop(name, None)
    schemas["Problem"] = PROBLEM_SCHEMA
    tags: set[str] = set()
    for operations in made["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = _REFUSED
            tags.update(operation.get("tags", []))
    made["tags"] = [{"name": tag} for tag in sorted(tags)]
    app.openapi_schema = made
    return made
