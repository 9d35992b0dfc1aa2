"""The ids in paths and queries, and what is answered of a merchant, a key, a price or an approval that can't exist."""

from typing import Final, Protocol

from farebox.core import ids
from farebox.core.outcomes import Code, refused
from farebox.service import inputs, parsing
from farebox.service.errors import Forbidden, Missing, Refused
from farebox.web.api_route import ApiRequest

MERCHANT_PATH: Final = "/api/admin/merchants/{merchant_id:str}"


class MerchantQuery(Protocol):
    """A query that may name a merchant."""

    @property
    def merchant(self) -> str | None: ...


def merchant_in_path(request: ApiRequest) -> int:
    """Read the merchant's id out of the path; a text that is no id names no merchant.

    Raises:
        Refused: merchant_not_found.
    """
    number = _number_in_path(request, "merchant_id", ids.MERCHANT)
    if number is None:
        raise Refused(refused(Code.MERCHANT_NOT_FOUND, "No merchant has this id"))
    return number


def approval_in_path(request: ApiRequest) -> int:
    """Read an approval's id out of the path.

    Raises:
        Refused: approval_not_found.
    """
    number = _number_in_path(request, "approval_id", ids.APPROVAL)
    if number is None:
        raise Refused(refused(Code.APPROVAL_NOT_FOUND, "No request for approval has this id"))
    return number


def key_in_path(request: ApiRequest) -> int:
    """Read an API key's id out of the path.

    Raises:
        Missing: no key has it.
    """
    number = _number_in_path(request, "key_id", ids.KEY)
    if number is None:
        raise Missing("no key has this id")
    return number


def destination_in_path(request: ApiRequest) -> int:
    """Read a destination's id out of the path.

    Raises:
        Missing: no destination has it.
    """
    number = _number_in_path(request, "destination_id", ids.DESTINATION)
    if number is None:
        raise Missing("no destination has this id")
    return number


def price_in_path(request: ApiRequest) -> int:
    """Read a price version's id out of the path.

    Raises:
        Missing: no price has it.
    """
    number = _number_in_path(request, "price_id", ids.PRICE)
    if number is None:
        raise Missing("no price has this id")
    return number


def text_in_path(request: ApiRequest, name: str) -> str:
    """Read one of a path's parameters as it stands."""
    text: str = request.scope["path_params"][name]
    return text


def merchant_in_query(query: MerchantQuery) -> int | None:
    """Read which merchant a query names; None if it names none.

    Raises:
        InvalidInput: the text is no merchant's id.
    """
    return None if query.merchant is None else inputs.public_id("merchant", ids.MERCHANT, query.merchant)


def own_or_named(request: ApiRequest, named: int | None, only_own: str) -> int | None:
    """Tell whom a request is about: the merchant whose key it is, or else the one that it names; None if neither is.

    Raises:
        Forbidden: a merchant's key names another one; `only_own` says what that key may do.
    """
    own = request.key.merchant_id
    if own is None:
        return named
    if named not in (None, own):
        raise Forbidden(only_own)
    return own


def _number_in_path(request: ApiRequest, name: str, prefix: str) -> int | None:
    try:
        return parsing.parse_public_id(prefix, text_in_path(request, name))
    except parsing.InvalidId:
        return None
