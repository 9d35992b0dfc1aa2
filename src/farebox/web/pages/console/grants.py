"""Given credit: what a merchant was given, a form that gives more, and ending a grant before its time."""

from typing import Any, Final

from msgspec.structs import replace
from starlette.responses import Response

from farebox.core.accounts import Account
from farebox.core.credit.grants import GrantState, GrantTerms, read_terms
from farebox.core.currencies import format_money, format_money_with_code
from farebox.core.outcomes import Outcome
from farebox.core.permissions import Operation
from farebox.presenters.grant_words import terms_words
from farebox.service.errors import InvalidInput, ensure_done
from farebox.service.operator.grants import Grant, GrantFields
from farebox.service.plain_values import listed
from farebox.service.typed_amounts import typed_amount
from farebox.web.pages.console.common import CURSOR, MERCHANT, merchant_of, merchant_page, merchant_url, outcome_of
from farebox.web.pages.console.previews import NEEDS_APPROVAL, asked_before, balance_fact
from farebox.web.pages.forms import typed_time
from farebox.web.pages.once import sent_once
from farebox.web.pages.preview import Preview, facts_of
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

ROWS: Final = 50
_FIELDS: Final = ("amount", "reference", "reason", "starts", "expires", "types", "priority")
_NAMES: Final = {"startsAt": "starts", "expiresAt": "expires"}
_PRIORITY: Final = "priority"


class ConsoleGrantPages:
    """A merchant's given credit."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        root = f"{MERCHANT}/grants"

        def form(path: str, **handlers: Any) -> PageRoute:
            return PageRoute(
                f"{root}{path}", Audience.SUPPORT, is_console=True, operation=Operation.GIVE_CREDIT, **handlers
            )

        return [
            PageRoute(root, Audience.SUPPORT, get=self.show, is_console=True),
            form("/give", get=self.ask, post=self.preview, is_form=True),
            form("/give/confirm", post=self.give),
            form("/{grant:str}/end", get=self.ask_end, post=self.end, is_form=True, is_done_once=True),
        ]

    async def show(self, request: PageRequest) -> Response:
        """List what was given, the newest first."""
        cursor = request.query(CURSOR) or None
        page = await request.services.grants.page(merchant_of(request), cursor=cursor, limit=ROWS)
        return await merchant_page(request, "console/grants.html", page=page, cursor=cursor)

    async def ask(self, request: PageRequest) -> Response:
        """Ask what is to be given."""
        return await merchant_page(request, "console/give_credit.html")

    async def preview(self, request: PageRequest) -> Response:
        """Show what the grant would come to; nothing moves."""
        merchant, account = await request.services.merchants.get(merchant_of(request))
        outcome = await outcome_of(request, _give(request, account, is_dry_run=True), _NAMES)
        if outcome is None:
            return await merchant_page(request, "console/give_credit.html", 422)
        preview = await _preview(request, outcome, account, merchant.name)
        return await merchant_page(request, "console/preview.html", read=(merchant, account), preview=preview)

    async def give(self, request: PageRequest) -> Response:
        """Give the credit, or request it if it is above the operator's limit."""
        _, account = await request.services.merchants.get(merchant_of(request))
        outcome = await outcome_of(request, _give(request, account), _NAMES)
        if outcome is None:
            return await merchant_page(request, "console/give_credit.html", 422)
        if outcome.grant is None:
            return request.redirect(merchant_url(account.merchant_id), "waits")
        flash = "grant_was_made" if outcome.is_replay else "credit_given"
        return request.redirect(f"{merchant_url(account.merchant_id)}/grants", flash)

    async def ask_end(self, request: PageRequest) -> Response:
        """Tell what it comes to to end a grant, and ask why; nothing is changed."""
        return await self._ask_end(request)

    async def end(self, request: PageRequest) -> Response:
        """Take back what is left of a grant."""
        outcome = await outcome_of(request, _end(request))
        if outcome is None:
            return await self._ask_end(request, 422)
        url = f"{merchant_url(merchant_of(request))}/grants"
        return request.redirect(url, "grant_ended", *(["sent_twice"] if outcome.is_replay else []))

    async def _ask_end(self, request: PageRequest, status: int = 200) -> Response:
        grant = await request.services.grants.get(merchant_of(request), request.param("grant"))
        return await merchant_page(
            request,
            "console/end_grant.html",
            status,
            grant=grant,
            is_over=grant.state == GrantState.ENDED,
            is_waiting=grant.state == GrantState.WAITING,
        )


async def _give(request: PageRequest, account: Account, *, is_dry_run: bool = False) -> Outcome:
    """Give the credit that the form asks for.

    Raises:
        ServiceError: it can't be given.
    """
    form = request.form
    fields = GrantFields(
        amount=typed_amount("amount", form.text("amount"), account.currency),
        reference=form.text("reference"),
        reason=form.text("reason"),
        starts_at=typed_time("starts", form.text("starts"), request.zone),
        expires_at=typed_time("expires", form.text("expires"), request.zone),
        types=form.text("types").replace(",", " ").split() or None,
        priority=_priority(form.text(_PRIORITY)),
    )
    return await request.services.grants.give(
        account.merchant_id, fields, principal=request.principal, is_dry_run=is_dry_run
    )


def _priority(text: str) -> int:
    """Read a priority as it was typed; nothing stands for that of paid money."""
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) <= 3):
        raise InvalidInput(_PRIORITY, "a priority is a whole number from 0 to 100")
    return int(text)


async def _end(request: PageRequest) -> Outcome:
    """End the grant that the path names.

    Raises:
        ServiceError: it can't be ended.
    """
    with sent_once():
        outcome = await request.services.grants.end(
            merchant_of(request),
            request.param("grant"),
            reason=request.form.text("reason"),
            principal=request.principal,
        )
        ensure_done(outcome)
    return outcome


async def _preview(request: PageRequest, outcome: Outcome, account: Account, name: str) -> Preview:
    """Tell what a grant would come to, or that its reference was used for it."""
    grant, approval, form = outcome.grant, outcome.approval, request.form
    root, currency = merchant_url(account.merchant_id), account.currency
    terms = _terms(outcome)
    about = Preview(
        amount=format_money(terms.amount, currency),
        beside=f"{currency} of credit to {name}",
        action=f"{root}/grants/give/confirm",
        back=f"{root}/grants/give",
    )
    if outcome.is_replay:
        return _given_before(about, grant, root)
    starts_later = terms.starts_at is not None
    notices = [NEEDS_APPROVAL] if approval is not None else []
    notices += await _unpriced_notice(request, account.merchant_id, terms.types)
    return replace(
        about,
        question="Is this the credit to give?",
        facts=facts_of(
            *([] if starts_later else [balance_fact(account, terms.amount)]),
            *terms_words(terms, request.zone),
            ("When it ends", "what is left then can't be spent any more" if terms.expires_at is not None else None),
            ("Reference", form.text("reference")),
            ("Reason", form.text("reason")),
        ),
        button=f"{'Give' if approval is None else 'Ask for'} {format_money_with_code(terms.amount, currency)}",
        fields={field: form.text(field) for field in _FIELDS},
        notice=" ".join(notices),
    )


def _terms(outcome: Outcome) -> GrantTerms:
    """Tell the terms of a grant that was made, or that waits to be approved."""
    grant, approval = outcome.grant, outcome.approval
    if grant is not None:
        starts_at = grant.starts_at if grant.state == GrantState.WAITING else None
        return replace(grant.terms, starts_at=starts_at)
    if approval is None or approval.terms is None:
        raise LookupError("what was asked for is no grant")
    return read_terms(approval.terms)[1]


def _given_before(about: Preview, grant: Grant | None, root: str) -> Preview:
    """Tell that a reference was used before, for this very grant."""
    if grant is None:
        return asked_before(about)
    return replace(
        about,
        question="This is given already",
        facts=facts_of(("Reference", grant.reference)),
        notice="The ledger has it under this reference; the same again gives nothing more.",
        link=(f"{root}/grants", "See it"),
    )


async def _unpriced_notice(request: PageRequest, merchant_id: int, types: str | None) -> list[str]:
    """Say of request types that a grant names and that have no price that they have none: one may be mistyped."""
    if types is None:
        return []
    priced = await request.services.prices.request_types(merchant_id)
    unknown = [name for name in types.split(" ") if name not in priced]
    return [f"Nothing has a price under the name {listed(unknown, 'or')}; see that it is right."] if unknown else []
