"""A price beside the handler that it is for, in place of a route of the table.

    @app.get("/v1/search")
    @priced("search")
    async def search(q: str): ...

It is the innermost decorator, right above the handler, and needs the middleware before it. A handler that is not
asynchronous runs in a thread.
"""

import inspect
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import wraps
from typing import Any, TypeVar, cast

from farebox_client.middleware.request_charge import CURRENT, NotCharged, RequestCharge
from farebox_client.middleware.routes import RoutePrice

Handler = TypeVar("Handler", bound=Callable[..., Any])


class PricedTwice(RuntimeError):
    """The request's route has a price, and its handler another one."""


def priced(
    type: str,
    *,
    quantities: Mapping[str, int] | None = None,
    amount: Decimal | str | None = None,
    metered: bool = False,
) -> Callable[[Handler], Handler]:
    """Hold what a request of a handler costs before it runs, and take it if it succeeds.

    Args:
        type: The request type.
        quantities: The quantities held, of a type that is priced by these.
        amount: The amount held, of a variable type.
        metered: Charge what the handler says that the request came to, and nothing if it says nothing. Without
            quantities and amount nothing is held, and the key alone is checked.
    """
    price = RoutePrice(type, quantities, amount, is_metered=metered)

    def decorate(handler: Handler) -> Handler:
        if inspect.iscoroutinefunction(handler):

            @wraps(handler)
            async def ask_first(*args: Any, **kwargs: Any) -> Any:
                await _unpriced().ask(price)
                return await handler(*args, **kwargs)

            return cast("Handler", ask_first)

        @wraps(handler)
        def ask_and_wait_first(*args: Any, **kwargs: Any) -> Any:
            _unpriced().ask_and_wait(price)
            return handler(*args, **kwargs)

        return cast("Handler", ask_and_wait_first)

    return decorate


def _unpriced() -> RequestCharge:
    charge = CURRENT.get()
    if charge is None:
        raise NotCharged(NotCharged.__doc__)
    if charge.price is not None:
        raise PricedTwice(PricedTwice.__doc__)
    return charge
