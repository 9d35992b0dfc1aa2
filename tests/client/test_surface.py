"""The client has the API's words: its members, its fields, its names of refusals; and both clients have one face."""

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from msgspec import Struct

import farebox_client
from farebox.core.outcomes import Code
from farebox.presenters.grants import EndingData
from farebox.presenters.holds import ExtendData, OpenHoldData, ReleaseData
from farebox.presenters.merchants import AccountData, RunwayData, ThresholdData
from farebox.presenters.prices import PriceInForce
from farebox.presenters.quotes import QuoteData, QuoteLineData, QuotePeriodData, RoundingData
from farebox.service.statements.lines import TransferData
from farebox.web.schemas import reading, spending, statement
from farebox.web.schemas.quotes import QuoteRequest
from farebox_client import AsyncFarebox, ChargeFields, Farebox, FareboxError, answers, errors, messages
from farebox_client.prices import PriceRule, RequestCost
from tools import client_reference

SOURCE: Final = Path(farebox_client.__file__).parent
ANSWERS: Final[dict[Any, type[Struct]]] = {
    answers.Above: spending.AboveData,
    answers.Account: AccountData,
    answers.BatchOutcome: spending.BatchOutcome,
    answers.BatchOutcomes: spending.BatchData,
    answers.Capture: spending.CaptureData,
    answers.Charge: spending.ChargeData,
    answers.CheckedKey: spending.CheckedKeyData,
    answers.Ending: EndingData,
    answers.Extension: ExtendData,
    answers.Hold: spending.HoldData,
    answers.OpenHold: OpenHoldData,
    answers.OpenHoldPage: spending.HoldsData,
    answers.Price: PriceInForce,
    answers.Prices: reading.PricesInForce,
    answers.Quote: QuoteData,
    answers.QuoteLine: QuoteLineData,
    answers.QuotePeriod: QuotePeriodData,
    answers.QuoteRounding: RoundingData,
    answers.Refund: spending.RefundData,
    answers.Release: ReleaseData,
    answers.Runway: RunwayData,
    answers.Threshold: ThresholdData,
    answers.Transfer: TransferData,
    answers.TransferPage: statement.TransfersData,
}
NOT_IN_JSON: Final = {"is_replay", "key"}
"""What the client adds to answers."""

REQUESTS: Final[dict[str, type[Struct]]] = {
    "capture": spending.CaptureRequest,
    "extend": spending.ExtendRequest,
    "open_hold": spending.HoldRequest,
    "quote": QuoteRequest,
    "refund": spending.RefundRequest,
    "release": spending.ReleaseRequest,
}
OTHER_NAMES: Final = {"idempotency_key": "key", "ttl_seconds": "ttl", "transfer_id": "transfer"}
"""Names that are longer in the API."""


def test_every_class_of_an_answer_has_exactly_the_api_s_members() -> None:
    made_here = {answers.Balance, PriceRule, RequestCost}
    assert ANSWERS.keys() == {kind for _, kind in inspect.getmembers(answers, dataclasses.is_dataclass)} - made_here
    for kind, struct in ANSWERS.items():
        fields = set(struct.__struct_fields__)
        members = {field.name for field in dataclasses.fields(kind)} - (NOT_IN_JSON - fields)
        assert (kind.__name__, members) == (kind.__name__, fields)


def test_a_member_that_may_be_absent_has_a_default() -> None:
    for kind, struct in ANSWERS.items():
        if struct.__struct_config__.omit_defaults:
            absent = {each.name for each in msgspec.structs.fields(struct) if not each.required}
            optional = {each.name for each in dataclasses.fields(kind) if each.default is None}
            assert (kind.__name__, absent) == (kind.__name__, optional)


def test_a_charge_has_exactly_the_api_s_fields() -> None:
    fields = {field.name for field in dataclasses.fields(ChargeFields)}
    assert {OTHER_NAMES.get(name, name) for name in spending.ChargeRequest.__struct_fields__} == fields
    assert fields == set(inspect.signature(Farebox.charge).parameters) - {"self"}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_has_exactly_the_api_s_fields(name: str) -> None:
    asked = set(inspect.signature(getattr(messages, name)).parameters) - {"hold"}
    fields = {OTHER_NAMES.get(field, field) for field in REQUESTS[name].__struct_fields__}
    assert fields == asked
    if name == "open_hold":
        assert asked == set(inspect.signature(Farebox.hold).parameters) - {"self"}


def test_every_outcome_has_its_class() -> None:
    assert {str(code) for code in Code} - {Code.OK} <= errors.BY_CODE.keys()
    for code, kind in errors.BY_CODE.items():
        assert code == re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
        error = errors.error_of(code, "it is so", status=499)
        assert (kind, code, f"{code}: it is so (HTTP 499)") == (type(error), error.code, str(error))


def test_every_name_that_the_api_refuses_by_has_its_class() -> None:
    """The names stand in the table of refusals that any endpoint may give, and in the code as texts."""
    page = (Path(__file__).parents[2] / "docs" / "reference" / "api.md").read_text()
    rows = re.findall(r"^\| \d{3} \| (`[a-z_`, ]+) \|", page, re.MULTILINE)
    names = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert len(names) > 10
    assert names | {"conflict"} <= errors.BY_CODE.keys()


def test_an_unknown_code_is_the_base_class() -> None:
    error = errors.error_of("of_next_year", "it is so", status=409)
    assert (FareboxError, "of_next_year", 409) == (type(error), error.code, error.status)


def test_all_errors_and_answers_are_imported_from_the_package() -> None:
    assert {kind.__name__ for kind in errors.BY_CODE.values()} <= set(farebox_client.__all__)
    assert sorted(farebox_client.__all__, key=str.casefold) == sorted(set(farebox_client.__all__), key=str.casefold)
    for name in farebox_client.__all__:
        assert getattr(farebox_client, name).__doc__


def test_both_clients_have_the_same_face() -> None:
    renamed = {"close": "aclose"}
    for name, method in inspect.getmembers(Farebox, inspect.isfunction):
        if name.startswith("_"):
            continue
        other = getattr(AsyncFarebox, renamed.get(name, name))
        parameters = [list(map(str, inspect.signature(each).parameters.values())) for each in (method, other)]
        assert parameters[0] == parameters[1], name
    blocking = inspect.signature(Farebox).parameters
    asynchronous = inspect.signature(AsyncFarebox).parameters
    assert [*blocking] == [*asynchronous]


def test_methods_that_are_made_of_messages_tell_what_they_take_and_return() -> None:
    signature = inspect.signature(Farebox.capture)
    assert (answers.Capture, "self") == (signature.return_annotation, next(iter(signature.parameters)))
    bound = inspect.signature(Farebox("http://127.0.0.1:1", key="k").account)
    assert ([], answers.Account) == ([*bound.parameters], bound.return_annotation)
    assert inspect.getdoc(AsyncFarebox.capture) == inspect.getdoc(messages.capture)


def test_the_reference_is_what_the_code_says() -> None:
    assert client_reference.page() == client_reference.PAGE.read_text(), "run `make client-reference`"


def test_the_client_takes_no_module_of_the_server() -> None:
    for path in SOURCE.rglob("*.py"):
        assert not re.search(r"^\s*(from|import) farebox\b(?!_)", path.read_text(), re.MULTILINE), path
