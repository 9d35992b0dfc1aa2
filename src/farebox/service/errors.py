"""Errors outside the ledger's own refusals; the docstring is the default message."""

from collections.abc import Iterator
from contextlib import contextmanager

from farebox.core import ids
from farebox.core.approvals import Approval, ApprovalState
from farebox.core.outcomes import Outcome
from farebox.core.transfers import Transfer
from farebox.storage.interface import AlreadyExists, CommitUnknown, NotFound, StoreReplaced, StoreUnavailable


class ServiceError(Exception):
    """Something went wrong."""

    def __init__(self, message: str | None = None) -> None:
        """Take a message, or the class's docstring for want of a better one."""
        super().__init__(message or (type(self).__doc__ or "").strip().rstrip("."))

    @property
    def message(self) -> str:
        """The message for the caller."""
        return str(self.args[0])


class InvalidInput(ServiceError):
    """The value is not valid."""

    def __init__(self, field: str, message: str) -> None:
        """Name the field as the caller knows it, and say what would be right."""
        super().__init__(message)
        self.field = field


class InvalidKey(ServiceError):
    """Invalid API key."""


class Forbidden(ServiceError):
    """This kind of API key may not do this."""


class Missing(ServiceError):
    """There is no such thing."""


class UnknownMerchant(Missing):
    """No merchant has this id."""


class Conflict(ServiceError):
    """It is there already."""


class NeedsAnotherPerson(ServiceError):
    """Another person has to do this."""


class Overloaded(ServiceError):
    """Too many requests wait already; try again shortly."""


class Unavailable(ServiceError):
    """The database can't be reached or takes no writes; nothing was changed. Try again shortly."""


class DatabaseReplaced(Unavailable):
    """The database is not the one that this server has worked on; nothing was changed. The operator has to look."""


class FateUnknown(ServiceError):
    """The database failed while it committed, so the outcome is unknown. Repeat with the same key: it is safe."""


class Refused(ServiceError):
    """The ledger refused."""

    def __init__(self, outcome: Outcome) -> None:
        """Carry the ledger's outcome."""
        super().__init__(outcome.message)
        self.outcome = outcome


def unknown_merchant(merchant_id: int) -> UnknownMerchant:
    """Say that no merchant has an id."""
    return UnknownMerchant(f"no merchant has the id {ids.public_id(ids.MERCHANT, merchant_id)}")


def ensure_done(outcome: Outcome) -> None:
    """Go on if a command did, or had done, what was asked.

    Raises:
        Refused: it was refused.
    """
    if not outcome.is_ok:
        raise Refused(outcome)


def transfer_of(outcome: Outcome) -> Transfer:
    """Return the transfer of a command that moved money.

    Raises:
        Refused: it was refused.
    """
    if outcome.transfer is None:
        raise Refused(outcome)
    return outcome.transfer


def waiting_of(outcome: Outcome) -> Approval | None:
    """Return the request that a command became, if it waits for a second person.

    Raises:
        Refused: it was refused.
    """
    ensure_done(outcome)
    approval = outcome.approval
    return approval if approval is not None and approval.state == ApprovalState.PENDING else None


def unavailable(error: StoreUnavailable) -> Unavailable:
    """Say for the caller why the database did nothing."""
    return DatabaseReplaced() if isinstance(error, StoreReplaced) else Unavailable()


@contextmanager
def translated(*, missing: str | None = None, conflict: str = "it is there already") -> Iterator[None]:
    """Turn the errors of storage into the service's, with words for the caller.

    Raises:
        UnknownMerchant: a row was not found, and `missing` has no words for it.
        Missing: the same, with those words.
        Conflict: a row is there already.
        Unavailable: the database did nothing.
        FateUnknown: it failed while it committed.
    """
    try:
        yield
    except NotFound as error:
        raise (UnknownMerchant("no such merchant") if missing is None else Missing(missing)) from error
    except AlreadyExists as error:
        raise Conflict(conflict) from error
    except StoreUnavailable as error:
        raise unavailable(error) from error
    except CommitUnknown as error:
        # These writes have no idempotency key: moves of money go through the committer.
        raise FateUnknown(
            "The database failed while it committed, so the outcome is unknown. See what is there before you repeat"
        ) from error
