"""The OpenAPI document: valid, complete, and true of what the server answers.

That it foretells every answer of every other test here is checked by the client that they use.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator

from farebox.bootstrap import Farebox
from farebox.core.outcomes import Code
from farebox.web.api import routes
from farebox.web.envelope import STATUS
from tests.support.app_client import AppClient, Reply
from tests.support.clock import later
from tests.support.server import seed

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT: Final = Path(__file__).parents[2]
# What any operation may answer, or any that takes a body; the reference tells of these once for all.
COMMON_CODES: Final = {
    *(
        "invalid_api_key",
        "forbidden",
        "internal_error",
        "outcome_unknown",
        "overloaded",
        "unavailable",
        "database_replaced",
    ),
    *("malformed_request", "request_timeout", "payload_too_large", "unsupported_media_type", "invalid_value"),
    *("rate_limited", "database_replaced"),
}
METHODS: Final = {"get", "post", "put", "patch", "delete"}
VERBS: Final = {
    *(
        "read",
        "list",
        "count",
        "get",
        "open",
        "capture",
        "release",
        "extend",
        "create",
        "change",
        "check",
        "freeze",
        "unfreeze",
    ),
    *("close", "reopen", "add", "remove", "adjust", "reverse", "give", "end", "set", "revoke", "expire", "rotate"),
    *("rename", "withdraw", "test", "replay", "suspend", "resume"),
}
COMPONENT_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")


@pytest.fixture(scope="module")
def document(client: AppClient) -> dict[str, Any]:
    return dict(client.document)


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


async def test_document_is_open_to_all_as_json(client: AppClient) -> None:
    reply = await client.get("/openapi.json")
    assert (200, "application/json") == (reply.status, reply.header("content-type"))


async def test_document_has_the_frame_of_openapi_3_1(document: dict[str, Any]) -> None:
    frame = {"openapi", "info", "servers", "tags", "paths", "webhooks", "components", "security"}
    assert frame == document.keys()
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    assert {"title", "version"} <= document["info"].keys()
    assert all(isinstance(text, str) and text for text in document["info"].values())
    assert document["components"].keys() <= {"schemas", "securitySchemes"}
    for names in document["components"].values():
        assert all(COMPONENT_NAME.fullmatch(name) for name in names)
    schemes = document["components"]["securitySchemes"]
    kinds = ["merchantKey", "serviceKey", "supportKey"]
    assert kinds == sorted(schemes)
    assert [{kind: []} for kind in kinds] == document["security"]
    for scheme in schemes.values():
        assert {"type": "apiKey", "in": "header", "name": "x-api-key"}.items() <= scheme.items()
    # Wherever the document is served, its paths are on that very server.
    assert [{"url": "/"}] == document["servers"]


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
            if status == "304":
                assert {"description", "headers"} == answer.keys()
                continue
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


async def test_every_documented_route_is_served(farebox: Farebox, client: AppClient, document: dict[str, Any]) -> None:
    seeds = await seed(farebox)
    for path, method, _ in _operations(document):
        target = re.sub(r"\{\w+\}", seeds.merchant, path)
        reply = await client.send(method.upper(), target)
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
    assert {"200", "401", "403", "429", "500"} == responses.keys()
    schema = responses["200"]["content"]["application/json"]["schema"]
    assert {"$ref": "#/components/schemas/BalanceAnswer"} == schema
    assert "string" == document["components"]["schemas"]["BalanceAnswer"]["properties"]["data"]["type"]


async def test_answers_have_the_documented_shape(farebox: Farebox, client: AppClient, document: dict[str, Any]) -> None:
    seeds = await seed(farebox)
    top_ups = "/api/admin/merchants/{merchant_id}/topups"
    charge = {"merchant": seeds.merchant, "type": "image", "idempotencyKey": "k"}
    merchant = {"name": "Contoso", "currency": "EUR", "thresholds": ["5", "10"], "creditLimit": "1"}
    exchanges = [
        ("/api/balance", "get", await client.get("/api/balance", seeds.merchant_key)),
        ("/api/balance", "get", await client.get("/api/balance")),
        ("/api/account", "get", await client.get("/api/account", seeds.merchant_key)),
        ("/api/charges", "post", await client.post("/api/charges", seeds.service_key, charge)),
        ("/api/charges", "post", await client.post("/api/charges", seeds.service_key, {**charge, "quantity": 2})),
        ("/api/charges", "post", await client.post("/api/charges", seeds.service_key, b"{")),
        ("/api/admin/merchants", "post", await client.post("/api/admin/merchants", seeds.support_key, merchant)),
        (
            *(top_ups, "post"),
            await client.post(
                top_ups.replace("{merchant_id}", seeds.merchant), seeds.support_key, {"amount": "1", "reference": "R"}
            ),
        ),
    ]
    assert [200, 401, 200, 200, 409, 400, 200, 200] == [reply.status for _, _, reply in exchanges]
    # A day on, there is a runway to tell.
    with later(farebox, seconds=26 * 3_600):
        exchanges.append(("/api/account", "get", await client.get("/api/account", seeds.merchant_key)))
    assert [False, True] == [reply.data["runway"] is not None for path, _, reply in exchanges if path == "/api/account"]
    for path, method, reply in exchanges:
        _validate(document, reply, path, method)


async def test_examples_of_requests_are_of_the_documented_shape(
    farebox: Farebox, client: AppClient, document: dict[str, Any]
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
    assert 200 == (await client.post("/api/charges", seeds.service_key, good)).status
    for content in bad:
        assert not validator.is_valid(content)
        assert (await client.post("/api/charges", seeds.service_key, content)).status in (400, 422)


async def test_each_operation_is_filed_and_takes_the_keys_that_its_words_tell_of(document: dict[str, Any]) -> None:
    known = [tag["name"] for tag in document["tags"]]
    assert ["Balance & account", "Spending", "Administration"] == known
    for path, _, operation in _operations(document):
        (tag,) = operation["tags"]
        assert tag in known
        assert (tag == "Administration") is path.startswith("/api/admin/")
        kinds = sorted(name.removesuffix("Key") for scheme in operation["security"] for name in scheme)
        assert operation["description"].startswith(f"Takes a {' or '.join(kinds)} key.")


async def test_every_example_is_of_its_schema(document: dict[str, Any]) -> None:
    for path, method, operation in _operations(document):
        where = (path, method)
        if body := operation.get("requestBody"):
            content = body["content"]["application/json"]
            assert content["example"], where
            _validator(document, content["schema"]).validate(content["example"])
        for status, answer in operation["responses"].items():
            if "content" not in answer:
                continue
            content = answer["content"]["application/json"]
            codes = answer.get("headers", {}).get("X-Error-Code", {}).get("schema", {}).get("enum")
            examples = [content["example"]] if codes is None else [content["examples"][code]["value"] for code in codes]
            for example in examples:
                _validator(document, content["schema"]).validate(example)
                assert ["isSuccess", "statusCode", "errorMessage", "data"] == list(example), where
                assert (int(status), int(status) < 300) == (example["statusCode"], example["isSuccess"]), where


async def test_every_field_has_an_example(document: dict[str, Any]) -> None:
    """A field without one would stand as null in the examples of whole bodies, which are made of these."""

    def lacks(field: dict[str, Any]) -> bool:
        parts = field.get("anyOf", [field])
        return "examples" not in field and not any(
            {"examples", "$ref", "items", "const", "enum"} & part.keys() or part.get("type") in ("null", "boolean")
            for part in parts
        )

    schemas = document["components"]["schemas"]
    found = [
        f"{name}.{field}"
        for name, schema in schemas.items()
        for field, inner in schema.get("properties", {}).items()
        if name != "Error" and lacks(inner)
    ]
    assert [] == found


async def test_every_class_of_a_generated_client_has_a_name_of_its_own(document: dict[str, Any]) -> None:
    """Without one, what a list or a null stands around is named after the way to it."""

    def unnamed(schema: dict[str, Any]) -> bool:
        return "enum" in schema or "properties" in schema or schema.get("additionalProperties", False) is not False

    for name, component in document["components"]["schemas"].items():
        assert name == component.get("title", name)
        for field, schema in component.get("properties", {}).items():
            around = [*schema.get("anyOf", []), schema.get("items", {})]
            assert not any(unnamed(inner) for inner in around), (name, field)
    for path, _, operation in _operations(document):
        for answer in operation["responses"].values():
            if "content" in answer:
                assert {"$ref"} == answer["content"]["application/json"]["schema"].keys(), path
        for parameter in operation.get("parameters", []):
            assert not any(unnamed(inner) for inner in parameter["schema"].get("anyOf", [])), (path, parameter["name"])


async def test_what_may_be_absent_says_so_and_has_no_default(document: dict[str, Any]) -> None:
    """A generator of types takes a field with a default for one that is always there."""
    schemas = document["components"]["schemas"]
    assert not [name for name, schema in schemas.items() if '"default"' in json.dumps(schema)]
    above = schemas["ChargeRequest"]["properties"]["above"]
    assert above["description"].endswith("If absent: refuse.")
    assert "If absent: 900." in schemas["HoldRequest"]["properties"]["ttlSeconds"]["description"]
    assert "If absent: false." in schemas["ReversalRequest"]["properties"]["owed"]["description"]


async def test_every_operation_is_named_by_what_it_does(document: dict[str, Any]) -> None:
    """A generated client has a function of this name, beside those of all other operations."""
    names = {operation["operationId"] for _, _, operation in _operations(document)}
    alone = {"charge", "charge_batch", "quote", "refund", "approve", "reject", "top_up"}
    assert {name for name in names if "_" not in name} <= alone
    for name in names - alone:
        assert name.split("_")[0] in VERBS, name


async def test_account_carries_an_amount_to_try_a_parser_on(farebox: Farebox, client: AppClient) -> None:
    for _ in range(2):
        seeds = await seed(farebox)
        reply = await client.get("/api/account", seeds.merchant_key)
        assert ("amountProbe", "1250.75") == list(reply.data.items())[-1]


async def test_balance_is_exemplified_to_the_letter(document: dict[str, Any]) -> None:
    responses = document["paths"]["/api/balance"]["get"]["responses"]

    def example(status: int, code: str) -> str:
        return json.dumps(responses[str(status)]["content"]["application/json"]["examples"][code]["value"])

    assert {"isSuccess": True, "statusCode": 200, "errorMessage": None, "data": "1250.75"} == responses["200"][
        "content"
    ]["application/json"]["example"]
    assert '{"isSuccess": false, "statusCode": 401, "errorMessage": "Invalid API key", "data": null}' == example(
        401, "invalid_api_key"
    )
    for code in ("internal_error", "unavailable"):
        wanted = '{"isSuccess": false, "statusCode": 500, "errorMessage": "Internal server error", "data": null}'
        assert wanted == example(500, code)


async def test_headers_are_documented_where_they_come(document: dict[str, Any]) -> None:
    replayed = set()
    for path, _, operation in _operations(document):
        for status, answer in operation["responses"].items():
            headers = answer.get("headers", {})
            assert (int(status) >= 400) is ("X-Error-Code" in headers)
            assert (status in ("429", "503")) is ("Retry-After" in headers)
            if "Idempotent-Replay" in headers:
                assert status in ("200", "202")
                replayed.add(path)
    merchant = "/api/admin/merchants/{merchant_id}"
    assert {
        *("/api/charges", "/api/holds", "/api/holds/{hold_id}/capture", "/api/holds/{hold_id}/release", "/api/refunds"),
        "/api/holds/{hold_id}/extend",
        *(f"{merchant}/topups", f"{merchant}/adjustments", f"{merchant}/reversals"),
        *(f"{merchant}/destinations", "/api/admin/destinations", "/api/admin/destinations/{destination_id}/secret"),
        *(f"{merchant}/grants", f"{merchant}/grants/{{grant_id}}/end"),
        *(f"{merchant}/close", f"{merchant}/reopen", f"{merchant}/notes"),
        *(f"{merchant}/approvals/{{approval_id}}/approve", f"{merchant}/approvals/{{approval_id}}/reject"),
        *("/api/admin/merchants", merchant, f"{merchant}/users", f"{merchant}/keys", f"{merchant}/prices"),
        *("/api/admin/keys", "/api/admin/keys/{key_id}/rotate", "/api/admin/keys/{key_id}/revoke", "/api/admin/prices"),
        *("/api/admin/prices/end", f"{merchant}/prices/end"),
        *("/api/admin/keys/{key_id}/suspend", "/api/admin/keys/{key_id}/resume"),
    } == replayed


async def test_bodies_are_limited_as_documented(farebox: Farebox, client: AppClient, document: dict[str, Any]) -> None:
    seeds = await seed(farebox)
    limits = set()
    for path, method, operation in _operations(document):
        found = re.search(r"The body may have ([0-9,]+) bytes at most\.", operation["description"])
        assert (found is not None) is ("requestBody" in operation)
        if found:
            limit = int(found[1].replace(",", ""))
            limits.add(limit)
            key = seeds.support_key if path.startswith("/api/admin/") else seeds.service_key
            target = re.sub(r"\{\w+\}", seeds.merchant, path)
            for length, is_too_long in ((limit, False), (limit + 1, True)):
                headers = [("content-type", "application/json"), ("content-length", str(length))]
                reply = await client.send(method.upper(), target, key=key, headers=headers, body=b"{")
                assert is_too_long is (reply.status == 413), path
    assert {65_536, 16_777_216} == limits


async def test_lines_of_a_batch_are_documented(document: dict[str, Any]) -> None:
    operation = document["paths"]["/api/charges/batch"]["post"]
    asked, answered = operation["requestBody"]["content"], operation["responses"]["200"]["content"]
    for content, name in ((asked, "ChargeRequest"), (answered, "BatchOutcome")):
        (line,) = content["application/x-ndjson"]["example"].splitlines()
        _validator(document, document["components"]["schemas"][name]).validate(json.loads(line))


async def test_links_lead_to_operations_and_give_them_all_that_their_paths_ask_for(document: dict[str, Any]) -> None:
    asked = {
        operation["operationId"]: set(re.findall(r"\{(\w+)\}", path)) for path, _, operation in _operations(document)
    }
    led = set()
    for path, _, operation in _operations(document):
        for answer in operation["responses"].values():
            for link in answer.get("links", {}).values():
                content = answer["content"]["application/json"]
                led.add(link["operationId"])
                assert asked[link["operationId"]] == link["parameters"].keys()
                for source in link["parameters"].values():
                    if source.startswith("$request.path."):
                        assert "{" + source.removeprefix("$request.path.") + "}" in path
                        continue
                    place = content["example"]
                    for step in source.removeprefix("$response.body#/").split("/"):
                        place = place[step]
                    assert isinstance(place, str)
    assert {name for name, names in asked.items() if names} == led


async def test_reference_lists_every_endpoint_as_it_is(document: dict[str, Any]) -> None:
    """What should stand there is in the failure, to be copied."""
    page = (ROOT / "docs" / "reference" / "api.md").read_text()
    table = _reference(document)
    assert table in page, table


def _reference(document: dict[str, Any]) -> str:
    lines = []
    for tag in document["tags"]:
        lines += ["", f"## {tag['name']}", "", tag["description"], ""]
        lines += ["| endpoint | key | what it does | refusals of its own |", "| --- | --- | --- | --- |"]
        for path, method, operation in _operations(document):
            if operation["tags"] != [tag["name"]]:
                continue
            keys = ", ".join(name.removesuffix("Key") for scheme in operation["security"] for name in scheme)
            codes = [
                f"{status} `{code}`"
                for status, answer in operation["responses"].items()
                for code in answer.get("headers", {}).get("X-Error-Code", {}).get("schema", {}).get("enum", [])
                if code not in COMMON_CODES
            ]
            lines.append(f"| `{method.upper()} {path}` | {keys} | {operation['summary']} | {', '.join(codes)} |")
    return "\n".join(lines[1:]) + "\n"
