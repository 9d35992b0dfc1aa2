"""The OpenAPI document: valid, complete, and true of what the server answers.

That it foretells every answer of every other test here is checked by the door that they go through.
"""

import re
from collections.abc import Iterator
from typing import Any, Final
from unittest import mock

import pytest
from jsonschema import Draft202012Validator

from farebox.bootstrap import Farebox
from farebox.core.outcomes import Code
from farebox.web.api import routes
from farebox.web.envelope import STATUS
from tests.support.door import Door, Reply
from tests.support.server import seed

pytestmark = pytest.mark.asyncio(loop_scope="module")

METHODS: Final = {"get", "post", "put", "patch", "delete"}
COMPONENT_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")


@pytest.fixture(scope="module")
def document(door: Door) -> dict[str, Any]:
    return dict(door.document)


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def _schemas(part: object) -> Iterator[Any]:
    """Yield every schema that stands anywhere in a part of the document."""
    if isinstance(part, dict):
        for name, inner in part.items():
            if name == "schema":
                yield inner
            elif name == "schemas":
                yield from inner.values()
            else:
                yield from _schemas(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _schemas(inner)


def _references(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for inner in part.values():
            yield from _references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _references(inner)


def _validator(document: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    """Make a validator of one of the document's schemas, whose references are to the document's components."""
    return Draft202012Validator({**schema, "components": document["components"]})


def _validate(document: dict[str, Any], reply: Reply, path: str, method: str) -> None:
    """Check an answer's body against the schema that the document has for it."""
    schema = document["paths"][path][method]["responses"][str(reply.status)]["content"]["application/json"]["schema"]
    _validator(document, schema).validate(reply.json())


async def test_document_is_open_to_all_as_json(door: Door) -> None:
    reply = await door.get("/openapi.json")
    assert (200, "application/json") == (reply.status, reply.header("content-type"))


async def test_document_has_the_frame_of_openapi_3_1(document: dict[str, Any]) -> None:
    assert {"openapi", "info", "paths", "components", "security"} >= document.keys() >= {"openapi", "info", "paths"}
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    assert {"title", "version"} <= document["info"].keys()
    assert all(isinstance(text, str) and text for text in document["info"].values())
    assert document["components"].keys() <= {"schemas", "securitySchemes"}
    for names in document["components"].values():
        assert all(COMPONENT_NAME.fullmatch(name) for name in names)
    schemes = document["components"]["securitySchemes"]
    assert [{"apiKey": []}] == document["security"]
    assert {"type": "apiKey", "in": "header", "name": "x-api-key"} == schemes["apiKey"]


async def test_each_operation_is_whole(document: dict[str, Any]) -> None:
    ids = []
    for path, method, operation in _operations(document):
        assert path.startswith("/")
        assert method in METHODS
        known = {"operationId", "summary", "description", "parameters", "requestBody", "responses", "security", "tags"}
        assert operation.keys() <= known
        assert operation["summary"]
        assert operation["description"]
        ids.append(operation["operationId"])
        named = re.findall(r"\{(\w+)\}", path)
        parameters = operation.get("parameters", [])
        assert named == [item["name"] for item in parameters if item["in"] == "path" and item["required"] is True]
        assert method != "get" or "requestBody" not in operation
        for status, answer in operation["responses"].items():
            assert re.fullmatch("[1-5][0-9][0-9]", status)
            assert answer["description"]
            assert "application/json" == next(iter(answer["content"]))
            assert status == "200" or 1 == len(answer["content"])
        assert "200" in operation["responses"]
    assert len(set(ids)) == len(ids)


async def test_schemas_are_valid_and_references_lead_somewhere(document: dict[str, Any]) -> None:
    schemas = list(_schemas(document))
    assert len(schemas) > 20
    for schema in schemas:
        Draft202012Validator.check_schema(schema)
    for reference in _references(document):
        place: Any = document
        assert reference.startswith("#/")
        for step in reference[2:].split("/"):
            place = place[step]


async def test_every_served_route_is_documented_and_no_other(farebox: Farebox, document: dict[str, Any]) -> None:
    served = {(re.sub(r":\w+\}", "}", route.path), route.method.lower()) for route in routes(farebox.services)}
    assert served == {(path, method) for path, method, _ in _operations(document)}


async def test_every_documented_route_is_served(farebox: Farebox, door: Door, document: dict[str, Any]) -> None:
    seeds = await seed(farebox)
    for path, method, _ in _operations(document):
        target = re.sub(r"\{\w+\}", seeds.merchant, path)
        reply = await door.send(method.upper(), target)
        assert (401, "invalid_api_key") == (reply.status, reply.code), target


async def test_errors_are_documented_with_the_status_that_they_have(document: dict[str, Any]) -> None:
    statuses = {code.value: status for code, status in STATUS.items() if code is not Code.OK}
    for path, method, operation in _operations(document):
        for status, answer in operation["responses"].items():
            for code in answer.get("headers", {}).get("X-Error-Code", {}).get("schema", {}).get("enum", []):
                assert status == str(statuses.get(code, status)), (path, method, code)
                assert code in answer["description"]


async def test_balance_documents_the_contract_alone(document: dict[str, Any]) -> None:
    responses = document["paths"]["/api/balance"]["get"]["responses"]
    assert {"200", "401", "403", "500"} == responses.keys()
    data = responses["200"]["content"]["application/json"]["schema"]["properties"]["data"]
    assert "string" == data["type"]


async def test_answers_have_the_documented_shape(farebox: Farebox, door: Door, document: dict[str, Any]) -> None:
    seeds = await seed(farebox)
    top_ups = "/api/admin/merchants/{merchant_id}/topups"
    charge = {"merchant": seeds.merchant, "type": "image", "idempotencyKey": "k"}
    merchant = {"name": "Contoso", "currency": "EUR", "thresholds": ["5", "10"], "creditLimit": "1"}
    exchanges = [
        ("/api/balance", "get", await door.get("/api/balance", seeds.merchant_key)),
        ("/api/balance", "get", await door.get("/api/balance")),
        ("/api/account", "get", await door.get("/api/account", seeds.merchant_key)),
        ("/api/charges", "post", await door.post("/api/charges", seeds.service_key, charge)),
        ("/api/charges", "post", await door.post("/api/charges", seeds.service_key, {**charge, "quantity": 2})),
        ("/api/charges", "post", await door.post("/api/charges", seeds.service_key, b"{")),
        ("/api/admin/merchants", "post", await door.post("/api/admin/merchants", seeds.support_key, merchant)),
        (
            *(top_ups, "post"),
            await door.post(
                top_ups.replace("{merchant_id}", seeds.merchant), seeds.support_key, {"amount": "1", "reference": "R"}
            ),
        ),
    ]
    assert [200, 401, 200, 200, 409, 400, 200, 200] == [reply.status for _, _, reply in exchanges]
    # Two hours on, there is a runway to tell.
    later = farebox.clock.now() + 2 * 3_600_000_000
    with mock.patch.object(farebox.clock, "now", return_value=later):
        exchanges.append(("/api/account", "get", await door.get("/api/account", seeds.merchant_key)))
    assert [False, True] == [reply.data["runway"] is not None for path, _, reply in exchanges if path == "/api/account"]
    for path, method, reply in exchanges:
        _validate(document, reply, path, method)


async def test_examples_of_requests_are_of_the_documented_shape(
    farebox: Farebox, door: Door, document: dict[str, Any]
) -> None:
    seeds = await seed(farebox)
    schema = document["paths"]["/api/charges"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    validator = _validator(document, schema)
    good = {"merchant": seeds.merchant, "type": "image", "quantity": 1, "idempotencyKey": "example"}
    bad = [
        {**good, "quantity": "1"},
        {**good, "amount": 5},
        {**good, "colour": "red"},
        {"merchant": seeds.merchant},
        [],
    ]
    assert validator.is_valid(good)
    assert 200 == (await door.post("/api/charges", seeds.service_key, good)).status
    for content in bad:
        assert not validator.is_valid(content)
        assert (await door.post("/api/charges", seeds.service_key, content)).status in (400, 422)
