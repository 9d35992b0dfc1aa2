"""The rules that both middlewares share: what is charged, who may pass, and what is still owed. Nothing here asks."""

import os
from collections.abc import Container, Iterable
from typing import Final, Literal

from farebox_client.middleware.charge_steps import Steps, log, opening
from farebox_client.middleware.owed import Owed, owed_for
from farebox_client.middleware.owed_book import OwedBook
from farebox_client.middleware.refusals import AMBIGUOUS_PATH, UNLISTED, Refused, checked_key
from farebox_client.middleware.request_charge import RequestCharge, Rules
from farebox_client.middleware.routes import PathAmbiguous, Route, RoutePrice, RouteTable

HOLD_SECONDS: Final = 60
"""How long a hold lasts at first; it is extended as long as its request is handled."""

ANSWER_SECONDS: Final = 5.0
"""How long a client waits at most until its request is admitted or refused."""

RETRY_SECONDS: Final = 1.0
RETRY_SECONDS_MAX: Final = 30.0
"""How long until what is owed is tried again: twice as long each time, up to this."""

FLUSH_SECONDS: Final = 10.0
"""How long the end of a process waits for what is owed."""

TAKEN_AT_ONCE: Final = 16
"""How much of what is owed is asked for at the same time."""

_STATUSES: Final = range(100, 600)


class ChargingRules:
    """Settings, and what follows from them; the middlewares' own classes connect them to Farebox."""

    def __init__(
        self,
        base_url: str,
        *,
        key: str,
        routes: Iterable[Route] = (),
        unlisted: Literal["refuse", "pass"] | None = None,
        charged_statuses: Container[int] = range(200, 300),
        charges_those_who_left: bool = False,
        fail_open: bool = False,
        spool: str | os.PathLike[str] | None = None,
        hold_for: int = HOLD_SECONDS,
        give_up_after: float = ANSWER_SECONDS,
    ) -> None:
        """Say what is charged; nothing is asked yet.

        Args:
            base_url: Where Farebox is, without `/api`.
            key: A service's API key.
            routes: What each request costs; the first route that matches counts.
            unlisted: What becomes of a request that no route matches: it is refused, 404, or passed to its handler,
                which is free unless it is decorated with `priced`. If left out, it is refused if there are routes.
            charged_statuses: Answers that are charged though the handler says nothing of what they came to.
            charges_those_who_left: Whether a client is charged that left before it got anything.
            fail_open: Let requests through while Farebox can't be asked, and charge them later; this takes a `spool`.
            spool: A folder for what is still owed, which all processes of the service share; without one, what could
                not be taken yet is lost with the process.
            hold_for: How many seconds a hold lasts; it is extended as long as its request is handled.
            give_up_after: How many seconds a client waits at most until its request is admitted or refused.

        Raises:
            RouteInvalid: a route makes no sense.
            ValueError: these make no sense together.
        """
        if fail_open and spool is None:
            raise ValueError("what is let through unasked is kept on disk until it is charged: fail_open takes a spool")
        if hold_for < 1:
            raise ValueError("a hold lasts for a second at least")
        self.hold_for = hold_for
        self.book = OwedBook(spool)
        self._rules = Rules(frozenset(each for each in _STATUSES if each in charged_statuses), charges_those_who_left)
        self._table = RouteTable(routes)
        self._passes_unlisted = unlisted == "pass" or (unlisted is None and not self._table)
        self._is_fail_open = fail_open
        self._connect(base_url, key, give_up_after)

    def _connect(self, base_url: str, key: str, give_up_after: float) -> None:
        raise NotImplementedError

    def begin(self, method: str, path: str, api_keys: list[str]) -> RequestCharge | None:
        """Tell what a request is charged, if it is not free; one whose charge has a price is to be opened.

        Raises:
            Refused: nothing has to be asked to refuse it.
        """
        try:
            route = self._table.find(method, path)
        except PathAmbiguous:
            raise Refused(AMBIGUOUS_PATH) from None
        if route is None:
            if not self._passes_unlisted and method != "OPTIONS":
                raise Refused(UNLISTED)
            return RequestCharge(None, self._rules, api_keys[0] if len(api_keys) == 1 else None)
        return None if route.price is None else RequestCharge(route.price, self._rules, checked_key(api_keys))

    def opening(self, charge: RequestCharge, price: RoutePrice) -> Steps[None]:
        """Ask whether a client may be served.

        Raises:
            Refused: it may not.
        """
        checked_key([] if charge.api_key is None else [charge.api_key])
        is_fail_open = self._is_fail_open and not self.book.is_full
        return opening(charge, price, hold_for=self.hold_for, is_fail_open=is_fail_open)

    def owed(self, charge: RequestCharge) -> Owed | None:
        """Tell what a request came to that has ended, and write it down; None if nothing is to be taken."""
        ending = charge.ending()
        owed = None if ending is None else owed_for(charge, ending)
        if owed is not None:
            self.book.write(owed)
            return owed
        if ending is not None:
            log.error("a request was served whose handler named no type, and is not charged")
        self.book.settle(charge.key)
        return None
