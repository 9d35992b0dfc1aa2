"""What LiteLLM and Lago export is read for what it is: who has the budget, what is left of it, whose each key is."""

from decimal import Decimal
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.core.currencies import decimals_of, fits_minor_unit
from farebox.service.errors import InvalidInput
from farebox.service.importing.exported import in_minor_units
from farebox.service.importing.lago import read_lago
from farebox.service.importing.litellm import read_litellm
from farebox.service.parsing import parse_amount

DIGEST: Final = "ab" * 32


def key(token: str = DIGEST, **members: Any) -> dict[str, Any]:
    return {"token": token, "key_name": "sk-...Zb4A", "spend": "0.0", "models": [], **members}


def keys(*listed: Any, total: str | None = None) -> dict[str, Any]:
    return {"keys": list(listed), "total_count": total or str(len(listed)), "current_page": "1", "total_pages": "1"}


def balances(rows: Any) -> dict[str, str]:
    return {row["reference"]: row["balance"] for row in rows["balances.csv"]}


def test_the_team_of_a_key_is_the_merchant_and_what_is_left_of_its_budget_the_balance() -> None:
    team = {"team_id": "t1", "team_alias": "Vision", "max_budget": "100.0", "spend": "0.30000000000000004"}
    made = read_litellm({"teams.json": [team], "keys.json": keys(key(team_id="t1", key_alias="batch", spend="0.3"))})
    assert [{"reference": "litellm:team:t1", "name": "Vision", "currency": "USD", "email": ""}] == list(
        made.rows["merchants.csv"]
    )
    assert {"litellm:team:t1": "99.70"} == balances(made.rows)
    assert [
        {"reference": "litellm:team:t1", "sha256": DIGEST, "name": "batch", "hint": "sk-…Zb4A", "expires_at": ""}
    ] == list(made.rows["keys.csv"])
    assert {} == dict(made.remarks)


def test_a_key_without_a_team_is_its_users_or_a_merchant_by_itself() -> None:
    user = {"user_id": "u1", "user_email": "ann@acme.example", "max_budget": "5", "spend": "1"}
    made = read_litellm(
        {
            "users.json": {"users": [user], "total": "1"},
            "keys.json": keys(
                key(user_id="u1", max_budget="2.0"),
                key("cd" * 32, user_id="gone", key_alias="Bee", max_budget="3"),
            ),
        }
    )
    own = f"litellm:key:{'cd' * 8}"
    assert {"litellm:user:u1": "4.00", own: "3.00"} == balances(made.rows)
    assert {"litellm:user:u1": ("ann@acme.example", "ann@acme.example"), own: ("Bee", "")} == {
        row["reference"]: (row["name"], row["email"]) for row in made.rows["merchants.csv"]
    }
    assert [
        "keys with a budget of their own within a team's or user's: not brought over; farebox key budget sets one"
    ] == list(made.remarks)


def test_what_has_no_counterpart_is_told_and_counted() -> None:
    teams = [
        {"team_id": "t1", "team_alias": None, "max_budget": None, "spend": "3.5"},
        {"team_id": "t2", "team_alias": "Over", "max_budget": "1.0", "spend": "1.1"},
        {"team_id": "t3", "team_alias": "Monthly", "max_budget": "1.0", "spend": "0.5", "budget_duration": "30d"},
        {"team_id": "t4", "team_alias": "Blocked", "max_budget": "1.0", "spend": "0.5", "blocked": True},
    ]
    listed = [
        key("01" * 32, team_id="t4"),
        key("02" * 32, team_id="t1", blocked=True),
        key("03" * 32, team_id="litellm-dashboard"),
    ]
    made = read_litellm({"teams.json": {"teams": teams}, "keys.json": keys(*listed)})
    assert ["0", "0", "0.50", "0.50"] == list(balances(made.rows).values())
    assert "LiteLLM team t1" == made.rows["merchants.csv"][0]["name"]
    assert [] == made.rows["keys.csv"]
    assert {
        "teams without a budget: they begin with nothing here": 1,
        "teams that spent more than their budget: they begin with nothing here": 1,
        "teams whose budget renews itself: what is left of this period is brought over, and nothing renews it here": 1,
        "keys that are blocked, or whose team is: left out": 2,
        "keys by which somebody is signed in to LiteLLM's pages: left out": 1,
    } == dict(made.remarks)


@pytest.mark.parametrize(
    ("files", "field", "message"),
    [
        ({"x.json": {"data": []}}, "x.json", "this is no answer of /key/list, /team/list or /user/list of LiteLLM"),
        ({"x.json": "text"}, "x.json", "this is a text; it must be an object"),
        ({"x.json": keys(DIGEST)}, "x.json.keys", "these are digests alone; ask /key/list for return_full_object=true"),
        ({"x.json": keys(key(), total="230")}, "FILE", "there are 230 keys, and the files have 1; fetch every page"),
        ({"x.json": keys(key(team_id="t"))}, "x.json.keys[0].team_id", "the team 't' is in none of the files"),
        ({"x.json": keys({"key_name": "k"})}, "x.json.keys[0].token", "this is missing; the export is not whole"),
        ({"x.json": keys(key(max_budget="Infinity"))}, "x.json.keys[0].max_budget", "'Infinity' is no amount"),
    ],
)
def test_an_export_of_litellm_that_is_none_is_refused(files: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_litellm(files)
    assert (field, True) == (refused.value.field, refused.value.message.startswith(message)), refused.value.message


def customer(external_id: str, **members: Any) -> dict[str, Any]:
    return {"external_id": external_id, "name": f"Customer {external_id}", "email": None, "currency": "USD", **members}


def wallet(lago_id: str, owner: str, ongoing: str, **members: Any) -> dict[str, Any]:
    plain = {"status": "active", "currency": "USD", "rate_amount": "1.0", "balance_cents": "999999"}
    return {"lago_id": lago_id, "external_customer_id": owner, "ongoing_balance_cents": ongoing, **plain, **members}


def lago(customers: list[Any], wallets: list[Any]) -> dict[str, Any]:
    meta = {"current_page": "1", "total_pages": "1"}
    return {
        "customers.json": {"customers": customers, "meta": {**meta, "total_count": str(len(customers))}},
        "wallets.json": {"wallets": wallets, "meta": {**meta, "total_count": str(len(wallets))}},
    }


def test_the_wallets_of_a_customer_are_its_balance_less_the_usage_that_is_not_invoiced_yet() -> None:
    made = read_lago(
        lago(
            [customer("a", email="ann@acme.example,ben@acme.example"), customer("b", currency="JPY"), customer("c")],
            [
                wallet("w1", "a", "800", rate_amount="1.5", credits_ongoing_balance="5.33333"),
                wallet("w2", "a", "50", expiration_at="2027-01-01T00:00:00Z"),
                wallet("w3", "a", "7000", status="terminated"),
                wallet("w4", "b", "1500", currency="JPY", recurring_transaction_rules=[{"trigger": "interval"}]),
                wallet("w5", "c", "-30"),
            ],
        )
    )
    assert {"lago:a": "8.50", "lago:b": "1500.00", "lago:c": "0.00"} == balances(made.rows)
    assert ["ann@acme.example", "", ""] == [row["email"] for row in made.rows["merchants.csv"]]
    assert {
        "wallets that are terminated: left out": 1,
        "wallets whose credits expire: they are brought over as money that does not": 1,
        "wallets that are topped up by a rule: nothing tops them up here": 1,
        "customers who used more than their wallets hold: they begin with nothing here, and owe the rest": 1,
    } == dict(made.remarks)


@pytest.mark.parametrize(
    ("files", "field", "message"),
    [
        ({"x.json": {"plans": []}}, "x.json", "this is no answer of /api/v1/customers or /api/v1/wallets of Lago"),
        (lago([], [wallet("w", "a", "1")]), "wallets.json.wallets[0].external_customer_id", "'a' is in none of the"),
        (
            lago([customer("a")], [wallet("w", "a", "1"), wallet("v", "a", "1", currency="EUR")]),
            "customers.json.customers[0].external_id",
            "'a' has wallets in EUR and USD, and a merchant has one currency",
        ),
        (
            lago([customer("a")], [wallet("w", "a", "1000", credits_ongoing_balance="1000.0")]),
            "wallets.json.wallets[0].ongoing_balance_cents",
            "this is 1000, and credits_ongoing_balance at rate_amount comes to 100000; only one of the two can",
        ),
        (
            {"c.json": {"customers": [customer("a")], "meta": {"total_count": "2"}}},
            "FILE",
            "there are 2 customers, and the files have 1; fetch every page",
        ),
    ],
)
def test_an_export_of_lago_that_is_none_is_refused(files: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_lago(files)
    assert (field, True) == (refused.value.field, refused.value.message.startswith(message)), refused.value.message


@given(
    amount=st.decimals(min_value=0, max_value=10**9, allow_nan=False, places=12),
    currency=st.sampled_from(["USD", "JPY", "KWD", "CLF"]),
)
def test_what_is_left_is_rounded_up_to_the_currencys_smallest_unit_and_never_by_a_whole_one(
    amount: Decimal, currency: str
) -> None:
    micros = parse_amount(in_minor_units(amount, currency))
    assert fits_minor_unit(micros, currency)
    above = Decimal(micros) / 10**6 - amount
    assert 0 <= above < Decimal(1).scaleb(-decimals_of(currency))
