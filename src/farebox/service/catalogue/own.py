"""Farebox's own format of a price list, in JSON or TOML: request types, each with a rule, a unit price, or variable.

An entry is an object with one of `rule` (in the format of the API), `unitPrice` and `variable`, and `startsAt` if it is
to start at another time than the import; a list of entries is a row of versions. The file is the operator's own, so
that what is wrong in it stops the import, and names its place.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from farebox.service import inputs
from farebox.service.catalogue.listed import Listed, Offer
from farebox.service.errors import InvalidInput
from farebox.service.operator.prices import FREE_REQUESTS
from farebox.service.plain_values import Members, kind_of, listed
from farebox.service.price_texts import read_rule

_OFFERS: Final = ("rule", "unitPrice", "variable")
_SHOWN_TYPES: Final = 3


def read_own(values: object) -> Iterator[Listed]:
    """Read a list of Farebox's own format, given as plain values.

    Raises:
        InvalidInput: something in it is wrong; the field is the path to it.
    """
    if not isinstance(values, Mapping):
        raise InvalidInput("FILE", f"this is {kind_of(values)}; a price list is an object with a member per type")
    _ensure_not_another(values)
    for request_type, value in values.items():
        inputs.request_type("FILE", request_type)
        entries = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
        if not entries:
            raise InvalidInput(request_type, "this list is empty; it must have at least one version")
        for place, entry in entries:
            yield _read_entry(request_type, request_type if place is None else f"{request_type}[{place}]", entry)


def _read_entry(request_type: str, path: str, value: object) -> Listed:
    members = Members.of(path, value, *_OFFERS, "startsAt")
    named = [name for name in _OFFERS if members.has(name)]
    if len(named) != 1:
        raise InvalidInput(path, f"this has {listed(named) if named else 'no price'}; write one of {listed(_OFFERS)}")
    starts_at = None
    if members.has("startsAt"):
        starts_at = inputs.time(members.at("startsAt"), members.text("startsAt", "2027-01-01T00:00:00Z"))
    match named[0]:
        case "rule":
            offer = Offer(rule=read_rule(members.at("rule"), members.values["rule"]))
        case "unitPrice":
            amount = members.amount("unitPrice")
            offer = Offer(amount) if amount else Offer(rule=FREE_REQUESTS)
        case _:
            if not members.flag("variable"):
                raise members.fault("variable", "this is false; leave it out and write rule or unitPrice")
            offer = Offer()
    return Listed(request_type, request_type, offer, starts_at=starts_at)


def _ensure_not_another(values: Mapping[str, object]) -> None:
    """Say so if this is a list that another option reads."""
    first = [entry for entry in list(values.values())[:_SHOWN_TYPES] if isinstance(entry, Mapping)]
    if any("litellm_provider" in entry for entry in first):
        raise InvalidInput("FILE", "this looks like litellm's price file; read it as such, with --from-list litellm")
