"""Stores whose every call goes through a test's hands: to be counted, noted, held up or failed."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

from farebox.storage.stores import Stores


class _Watched:
    def __init__(self, store: Any, subject: str, call: Callable[..., Awaitable[Any]]) -> None:
        self._store = store
        self._subject = subject
        self._call = call

    def __getattr__(self, name: str) -> Any:
        return partial(self._call, f"{self._subject}.{name}", getattr(self._store, name))


def watched_stores(stores: Stores, call: Callable[..., Awaitable[Any]]) -> Stores:
    """Return the same stores, each of whose calls is handed to `call` as its name, the method and its arguments.

    A batch or a statement that is run on the connector itself goes there directly.
    """
    subjects = Stores.__struct_fields__[1:]
    watched = {subject: _Watched(getattr(stores, subject), subject, call) for subject in subjects}
    return Stores(connector=stores.connector, **cast(Any, watched))
