"""The OpenAPI 3.1 document, made from the API's own table of routes and types, so it can't tell of another API."""

import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final

import msgspec

from farebox.core import ids
from farebox.core.commands import IDEMPOTENCY_KEY_CHARS_MAX, KeyKind
from farebox.core.outcomes import Code
from farebox.core.permissions import ALLOWED_ROLES
from farebox.core.staff_roles import NO_ROLE, StaffRole, roles_in_words
from farebox.presenters.fields import BOOK_ID_CHARS, id_schema
from farebox.presenters.keys import KEY_KIND_WORDS
from farebox.service.errors import InvalidKey
from farebox.service.repeats import KEPT_DAYS
from farebox.web.api.charge_batches import NDJSON
from farebox.web.api_route import Route
from farebox.web.envelope import INTERNAL_ERROR_MESSAGE, RETRY_AFTER_SECONDS, STATUS
from farebox.web.idempotency import HEADER
from farebox.web.webhook_document import data_types, webhooks

Json = dict[str, Any]

_PATH_PARAMETER: Final = re.compile(r"\{(\w+):str\}")
_JSON: Final = "application/json"
_BODY_ERRORS: Final = {
    400: ["malformed_request"],
    408: ["request_timeout"],
    413: ["payload_too_large"],
    415: ["unsupported_media_type"],
}
_BALANCE: Final = "Balance & account"
_SPENDING: Final = "Spending"
_ADMINISTRATION: Final = "Administration"
_TAGS: Final = {
    _BALANCE: "What a merchant reads of its own account.",
    _SPENDING: "What the operator's services charge, set aside and give back.",
    _ADMINISTRATION: "What support does: merchants, their people, keys, prices and money.",
}
_ID_SCHEMAS: Final = {
    "merchant_id": id_schema(ids.MERCHANT),
    "user_id": id_schema(ids.USER),
    "key_id": id_schema(ids.KEY),
    "approval_id": id_schema(ids.APPROVAL),
    "price_id": id_schema(ids.PRICE),
    "destination_id": id_schema(ids.DESTINATION),
    "hold_id": id_schema(ids.HOLD, BOOK_ID_CHARS),
}
_ETAG: Final = {"description": "The version of the answer.", "required": True, "schema": {"type": "string"}}
_MESSAGES: Final = {Code.INVALID_API_KEY: str(InvalidKey()), "internal_error": INTERNAL_ERROR_MESSAGE}
_ABOUT: Final = """Prepaid balances for pay-per-request APIs.

- Every answer has one envelope: `isSuccess`, `statusCode` (the HTTP status again), `errorMessage` and `data`. An error
  has its stable name in the header `X-Error-Code`.
- The header `x-api-key` carries a key: a merchant's reads its own account, a service's charges, a support person's
  administers as far as its roles let it. A good key of another kind, or without the role, gets 403 `forbidden`.
- Amounts are strings, plain decimals with at least two and at most six decimals, in every currency. What support
  moves has no more decimals than the currency: 12.5 JPY is refused, `amount_too_fine`. Times are RFC 3339 in UTC.
- What moves money takes an `idempotencyKey` or a `reference`: the same one with the same content again moves nothing
  more and is answered as the first time, marked `Idempotent-Replay: true`. A refusal is not remembered.
- The header `Idempotency-Key` may stand in place of a body's `idempotencyKey`. On what makes something (merchants,
  users, keys, prices, moves by support) it names the request: the same key and body again make nothing more. A repeat
  shows no API key again.
- Fields and parameters that are not named here are refused, and so are those that are given twice."""


def document(routes: list[Route]) -> Json:
    """Describe the API as an OpenAPI 3.1 document."""
    types = [
        kind
        for route in routes
        for kind in (route.data, route.accepted, route.request, route.query)
        if kind is not None
    ]
    types += data_types()
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    for kind in types:
        if names := getattr(kind, "NEEDS_ONE_OF", ()):
            components[kind.__name__]["anyOf"] = [{"required": [name]} for name in names]
    for component in list(components.values()):
        component.update({key: _named(part, components) for key, part in component.items() if key != "title"})
    schema_of = dict(zip(types, schemas, strict=True))
    writer = _Writer(routes, schema_of, components)
    paths: Json = {}
    for route in routes:
        paths.setdefault(_template(route), {})[route.method.lower()] = writer.operation(route)
    for route in routes:
        if route.query is not None:
            # Its fields stand as parameters.
            components.pop(route.query.__name__, None)
    for component in components.values():
        _say_defaults(component)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Farebox", "version": "1", "description": _ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": words} for name, words in _TAGS.items()],
        "paths": paths,
        "webhooks": webhooks(schema_of, {kind: writer.example(schema_of[kind]) for kind in data_types()}),
        "components": {
            "schemas": {**components, "Error": _error_schema()},
            "securitySchemes": {
                _scheme(kind): {
                    "type": "apiKey",
                    "in": "header",
                    "name": "x-api-key",
                    "description": f"A {KEY_KIND_WORDS[kind]} key.",
                }
                for kind in KeyKind
            },
        },
        "security": [{_scheme(kind): []} for kind in KeyKind],
    }


class _Writer:
    """Writes the operations of one document."""

    def __init__(self, routes: list[Route], schema_of: dict[type, Json], components: Json) -> None:
        self._routes = routes
        self._schema_of = schema_of
        self._components = components

    def operation(self, route: Route) -> Json:
        """Describe one operation."""
        words = " or ".join(sorted(KEY_KIND_WORDS[kind] for kind in route.keys))
        sentences = [f"Takes a {words} key.", _role_words(route), route.description, self._size_words(route)]
        operation: Json = {
            "operationId": route.handler.__name__,
            "tags": [_tag(route)],
            "summary": route.summary,
            "description": " ".join(sentence for sentence in sentences if sentence),
            "security": [{_scheme(kind): []} for kind in sorted(route.keys)],
            "responses": self._responses(route),
        }
        if parameters := [*_path_parameters(route), *self._query_parameters(route), *_header_parameters(route)]:
            operation["parameters"] = parameters
        if route.request is not None:
            operation["requestBody"] = {"required": True, "content": self._request_content(route, route.request)}
        return operation

    def _size_words(self, route: Route) -> str:
        return "" if route.request is None else f"The body may have {route.body_bytes_max:,} bytes at most."

    def _query_parameters(self, route: Route) -> list[Json]:
        if route.query is None:
            return []
        schema = self._resolved(self._schema_of[route.query])
        return [
            {"name": name, "in": "query", "required": name in schema.get("required", []), "schema": field}
            for name, field in schema["properties"].items()
        ]

    def _request_content(self, route: Route, request: type) -> Json:
        schema = self._schema_of[request]
        example = self.example(schema, is_request=True)
        content: Json = {_JSON: {"schema": schema, "example": example}}
        if NDJSON in route.media:
            content[NDJSON] = _lines("A charge a line, as in the other form's list.", example)
        return content

    def _responses(self, route: Route) -> Json:
        answers: Json = {"200": {"description": "Success", **self._success(route, HTTPStatus.OK, route.data)}}
        content = answers["200"]["content"]
        for media in route.media:
            # Who sends lines is answered in lines: one for each of the list that stands in the other form.
            content[media] = (
                _lines("An outcome a line, as in the other form's list.", content[_JSON]["example"]["data"])
                if media == NDJSON and route.request is not None
                else {"schema": {"type": "string"}}
            )
        if route.accepted is not None:
            accepted = self._success(route, HTTPStatus.ACCEPTED, route.accepted)
            answers["202"] = {"description": "Waits for another person", **accepted}
        if route.is_versioned:
            answers["200"]["headers"] = {"ETag": _ETAG}
            answers["304"] = {"description": "Not modified: nothing but headers", "headers": {"ETag": _ETAG}}
        for status, codes in sorted(_errors(route).items()):
            answers[str(status)] = _error(route, status, codes)
        return answers

    def _success(self, route: Route, status: int, data: type) -> Json:
        schema = self._schema_of[data]
        example = {
            "isSuccess": True,
            "statusCode": int(status),
            "errorMessage": None,
            "data": self.example(schema) if issubclass(data, msgspec.Struct) else "1250.75",
        }
        name = _envelope_name(status, data)
        self._components.setdefault(name, _envelope(name, status, schema, example["data"]))
        answer: Json = {"content": {_JSON: {"schema": _reference(name), "example": example}}}
        if route.is_replayable:
            answer["headers"] = {
                "Idempotent-Replay": {
                    "description": "There if this is the first answer again, or was so already: nothing is changed.",
                    "schema": {"type": "string", "const": "true"},
                }
            }
        if links := self._links(route, data):
            answer["links"] = links
        return answer

    def _links(self, route: Route, data: type) -> Json:
        """Lead from what an operation makes to what can be done with it: where a path asks for the id that it gave."""
        if route.method != "POST" or not issubclass(data, msgspec.Struct):
            return {}
        first = next(iter(self._resolved(self._schema_of[data])["properties"]))
        name, pointer = ("key_id", "/key/keyId") if first == "apiKey" else (_snake(first), f"/{first}")
        known = _PATH_PARAMETER.findall(route.path)
        if name in known:
            return {}
        links: Json = {}
        for other in self._routes:
            asked = _PATH_PARAMETER.findall(other.path)
            if name in asked and {name, *known} >= set(asked):
                links[other.handler.__name__] = {
                    "operationId": other.handler.__name__,
                    "parameters": {
                        wanted: f"$response.body#/data{pointer}" if wanted == name else f"$request.path.{wanted}"
                        for wanted in asked
                    },
                }
        return links

    def example(self, schema: Json, *, is_request: bool = False) -> Any:
        """Make an example of what a schema allows from those of its fields.

        Of a request's fields it has those that have to be there and those that have a value if left out; or all.
        """
        if "examples" in schema:
            return schema["examples"][0]
        schema = self._resolved(schema)
        match schema:
            case {"properties": fields}:
                # Of fields one of which has to be there, the first one is shown.
                required = [*schema.get("required", []), *schema.get("anyOf", [{}])[0].get("required", [])]
                asked = {
                    name: field
                    for name, field in fields.items()
                    if not is_request or name in required or field.get("default") is not None
                }
                return {name: self.example(field, is_request=is_request) for name, field in (asked or fields).items()}
            case {"anyOf": parts}:
                plain = [self.example(part, is_request=is_request) for part in parts if part != {"type": "null"}]
                # A thing within a thing is shown; of a plain field without an example, only that it may be null.
                return plain[0] if is_request or any("$ref" in part for part in parts) else None
            case {"items": items}:
                return [self.example(items, is_request=is_request)]
            case {"default": default}:
                return default
            case {"enum": words}:
                return words[0]
            case _:
                return None

    def _resolved(self, schema: Json) -> Json:
        while "$ref" in schema:
            schema = self._components[schema["$ref"].rpartition("/")[2]]
        return schema


def _template(route: Route) -> str:
    return _PATH_PARAMETER.sub(r"{\1}", route.path)


def _scheme(kind: KeyKind) -> str:
    return f"{KEY_KIND_WORDS[kind]}Key"


def _tag(route: Route) -> str:
    if route.path.startswith("/api/admin/"):
        return _ADMINISTRATION
    return _BALANCE if KeyKind.MERCHANT in route.keys and route.method == "GET" else _SPENDING


def _role_words(route: Route) -> str:
    """Say which role a support key needs, if not every one will do."""
    needed = NO_ROLE
    for operation in route.operations:
        needed |= ALLOWED_ROLES[operation]
    if KeyKind.SUPPORT not in route.keys or StaffRole.VIEWER in needed:
        return ""
    return f"A support key needs the role {roles_in_words(needed, between='or')}."


def _snake(name: str) -> str:
    return re.sub("([A-Z])", r"_\1", name).lower()


def _path_parameters(route: Route) -> Iterator[Json]:
    for name in _PATH_PARAMETER.findall(route.path):
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1, **_ID_SCHEMAS.get(name, {})},
        }


def _header_parameters(route: Route) -> Iterator[Json]:
    if route.is_versioned:
        yield {
            "name": "If-None-Match",
            "in": "header",
            "required": False,
            "description": "The ETag of an answer that you have: 304 tells that it still holds.",
            "schema": {"type": "string"},
        }
    if route.is_made_once:
        yield {
            "name": HEADER,
            "in": "header",
            "required": False,
            "description": f"Yours, unique per API key for {KEPT_DAYS} days; the same one and body again make nothing "
            "more.",
            "schema": {"type": "string", "pattern": f"^[!-~]{{1,{IDEMPOTENCY_KEY_CHARS_MAX}}}$"},
        }


def _errors(route: Route) -> dict[int, list[str]]:
    """Name every error that an operation may answer, by its status."""
    errors: dict[int, list[str]] = {
        401: [Code.INVALID_API_KEY],
        403: [Code.FORBIDDEN],
        429: ["rate_limited"],
        500: ["internal_error"],
    }
    if route.query is not None:
        errors |= {400: ["malformed_request"], 422: ["invalid_value"]}
    if route.request is not None:
        errors |= {status: list(codes) for status, codes in _BODY_ERRORS.items()}
        errors[422] = ["invalid_value"]
    if route.method != "GET":
        errors[500].append("outcome_unknown")
    if route.hides_outages:
        # Its clients know no 503, so what is one elsewhere is told by the header alone.
        errors[500] += ["unavailable", "database_replaced"]
    else:
        errors[503] = ["overloaded", "unavailable", "database_replaced"]
    for code in route.refusals:
        errors.setdefault(STATUS[code], []).append(code)
    if route.missing:
        errors.setdefault(404, []).append("not_found")
    if route.conflicts:
        errors.setdefault(409, []).append("conflict")
    return errors


def _error(route: Route, status: int, codes: list[str]) -> Json:
    headers: Json = {"X-Error-Code": {"required": True, "schema": {"type": "string", "enum": codes}}}
    if status in (429, 503):
        headers["Retry-After"] = {
            "description": "Seconds.",
            "required": True,
            "schema": {"type": "string", "examples": [str(RETRY_AFTER_SECONDS)]},
        }
    examples = {code: {"value": _error_example(route, status, code)} for code in codes}
    return {
        "description": "X-Error-Code is " + " or ".join(codes),
        "headers": headers,
        "content": {_JSON: {"schema": {"$ref": "#/components/schemas/Error"}, "examples": examples}},
    }


def _error_example(route: Route, status: int, code: str) -> Json:
    message = _MESSAGES.get(code, code.replace("_", " ").capitalize())
    if route.hides_outages and status == HTTPStatus.INTERNAL_SERVER_ERROR:
        message = INTERNAL_ERROR_MESSAGE
    return {"isSuccess": False, "statusCode": status, "errorMessage": message, "data": None}


def _error_schema() -> Json:
    return {
        "title": "Error",
        "description": "The envelope of an error, whose stable name stands in the header X-Error-Code.",
        "type": "object",
        "required": ["isSuccess", "statusCode", "errorMessage", "data"],
        "properties": {
            "isSuccess": {"const": False},
            "statusCode": {"type": "integer"},
            "errorMessage": {"type": "string"},
            "data": {"type": "null"},
        },
    }


def _envelope_name(status: int, data: type) -> str:
    """Name an envelope after what it carries: generated clients name a class by it."""
    carried = data.__name__.removesuffix("Data") if issubclass(data, msgspec.Struct) else "Balance"
    return f"{carried}{'Accepted' if status == HTTPStatus.ACCEPTED else 'Answer'}"


def _envelope(name: str, status: int, data: Json, example: Any) -> Json:
    return {
        "title": name,
        "description": "The envelope of a success.",
        "type": "object",
        "required": ["isSuccess", "statusCode", "errorMessage", "data"],
        "properties": {
            "isSuccess": {"const": True},
            "statusCode": {"const": int(status)},
            "errorMessage": {"type": "null"},
            "data": data if "$ref" in data else {**data, "examples": [example]},
        },
    }


def _named(schema: Any, components: Json) -> Any:
    """Make a component of each schema within this one that has a title, and refer to it there.

    Generated clients name a class by it; else by the way to it, as `ChargeRequestQuantitiesType0`, one for each way.
    """
    if isinstance(schema, list):
        return [_named(part, components) for part in schema]
    if not isinstance(schema, dict):
        return schema
    named = {key: _named(part, components) for key, part in schema.items()}
    title = named.get("title")
    if not isinstance(title, str):
        return named
    if components.setdefault(title, named) != named:
        raise ValueError(f"Two schemas are called {title}.")
    return _reference(title)


def _say_defaults(component: Json) -> None:
    """Say in words what an absent field is; types that are generated have a field with a default always there."""
    for field in component.get("properties", {}).values():
        default = field.pop("default", None)
        if isinstance(default, str | int):
            text = default if isinstance(default, str) else msgspec.json.encode(default).decode()
            field["description"] += f" If absent: {text}."


def _reference(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _lines(words: str, example: Json) -> Json:
    """Describe lines of JSON by the one list that the other form has."""
    items = next(value for value in example.values() if isinstance(value, list))
    text = "".join(msgspec.json.encode(item).decode() + "\n" for item in items)
    return {"schema": {"type": "string", "description": words}, "example": text}
