"""The OpenAPI 3.1 document, made from the API's own table of routes and types, so it can't tell of another API."""

import re
from typing import Any, Final

import msgspec

from farebox.core.commands import KeyKind
from farebox.core.outcomes import Code
from farebox.web.api.base import Route
from farebox.web.envelope import STATUS

_PATH_PARAMETER: Final = re.compile(r"\{(\w+):str\}")
_KEY_WORDS: Final = {KeyKind.MERCHANT: "merchant", KeyKind.SERVICE: "service", KeyKind.SUPPORT: "support"}
_BODY_ERRORS: Final = {400: ["malformed_request"], 413: ["payload_too_large"], 415: ["unsupported_media_type"]}


def document(routes: list[Route]) -> dict[str, Any]:
    """Describe the API as an OpenAPI 3.1 document."""
    types = [
        kind
        for route in routes
        for kind in (route.data, route.accepted, route.request, route.query)
        if kind is not None
    ]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    schema_of = dict(zip(types, schemas, strict=True))
    components["Error"] = {
        "type": "object",
        "required": ["isSuccess", "statusCode", "errorMessage", "data"],
        "properties": {
            "isSuccess": {"const": False},
            "statusCode": {"type": "integer"},
            "errorMessage": {"type": "string"},
            "data": {"type": "null"},
        },
    }
    paths: dict[str, Any] = {}
    for route in routes:
        path = _PATH_PARAMETER.sub(r"{\1}", route.path)
        parameters = _path_parameters(route) + _query_parameters(route, schema_of, components)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, schema_of, parameters)
    for route in routes:
        if route.query is not None:
            # Its fields stand as parameters.
            components.pop(route.query.__name__, None)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Farebox",
            "version": "1",
            "description": "Prepaid balances for pay-per-request APIs. Every answer has one envelope.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"}},
        },
        "security": [{"apiKey": []}],
    }


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    names = _PATH_PARAMETER.findall(route.path)
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}} for name in names
    ]


def _query_parameters(
    route: Route, schema_of: dict[type, dict[str, Any]], components: dict[str, Any]
) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    schema = components[schema_of[route.query]["$ref"].rpartition("/")[2]]
    return [
        {"name": name, "in": "query", "required": name in schema.get("required", []), "schema": field}
        for name, field in schema["properties"].items()
    ]


def _operation(route: Route, schema_of: dict[type, dict[str, Any]], parameters: list[dict[str, Any]]) -> dict[str, Any]:
    words = " or ".join(sorted(_KEY_WORDS[kind] for kind in route.keys))
    operation: dict[str, Any] = {
        "operationId": route.handler.__name__,
        "summary": route.summary,
        "description": f"Takes a {words} key. {route.description}".rstrip(),
        "responses": _responses(route, schema_of),
    }
    if parameters:
        operation["parameters"] = parameters
    if route.request is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema_of[route.request]}},
        }
    return operation


def _responses(route: Route, schema_of: dict[type, dict[str, Any]]) -> dict[str, Any]:
    errors: dict[int, list[str]] = {
        401: [Code.INVALID_API_KEY],
        403: [Code.FORBIDDEN],
        500: ["internal_error"],
    }
    if route.query is not None:
        errors |= {400: ["malformed_request"], 422: ["invalid_value"]}
    if route.request is not None:
        errors |= {status: list(codes) for status, codes in _BODY_ERRORS.items()}
        errors[422] = ["invalid_value"]
    if route.method != "GET":
        errors[500].append("outcome_unknown")
    if route.path == "/api/balance":
        # Its clients know no 503, so what is one elsewhere is told by the header alone.
        errors[500].append("unavailable")
    else:
        errors[503] = ["overloaded", "unavailable"]
    for code in route.refusals:
        errors.setdefault(STATUS[code], []).append(code)
    if route.missing:
        errors.setdefault(404, []).append("not_found")
    if route.conflicts:
        errors.setdefault(409, []).append("conflict")
    answers: dict[str, Any] = {
        "200": {
            "description": "Success",
            "content": {
                "application/json": {"schema": _success(200, schema_of[route.data])},
                **{media: {"schema": {"type": "string"}} for media in route.media},
            },
        },
    }
    if route.accepted is not None:
        answers["202"] = {
            "description": "Waits for another person",
            "content": {"application/json": {"schema": _success(202, schema_of[route.accepted])}},
        }
    for status, codes in sorted(errors.items()):
        answers[str(status)] = {
            "description": "X-Error-Code is " + " or ".join(codes),
            "headers": {"X-Error-Code": {"schema": {"enum": codes}, "required": True}},
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
    return answers


def _success(status: int, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["isSuccess", "statusCode", "errorMessage", "data"],
        "properties": {
            "isSuccess": {"const": True},
            "statusCode": {"const": status},
            "errorMessage": {"type": "null"},
            "data": data,
        },
    }
