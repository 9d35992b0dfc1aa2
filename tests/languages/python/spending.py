"""What a service and a merchant do with the client that is generated of the OpenAPI document; each line is one outcome.

The package `farebox_api` is made by openapi-python-client; a test types and runs this.
"""

import json
import os
from decimal import Decimal
from typing import TypeVar

from farebox_api import AuthenticatedClient
from farebox_api.api.balance_account import list_transfers, read_account, read_balance
from farebox_api.api.spending import capture_hold, charge, charge_batch, open_hold, quote, refund
from farebox_api.models import (
    AccountAnswer,
    BalanceAnswer,
    BatchAnswer,
    BatchRequest,
    CaptureAnswer,
    CaptureRequest,
    ChargeAnswer,
    ChargeData,
    ChargeRequest,
    Error,
    HoldAnswer,
    HoldRequest,
    ListTransfersKind,
    QuoteAnswer,
    QuoteRequest,
    RefundAnswer,
    RefundRequest,
    TransfersAnswer,
)

Answer = TypeVar("Answer")
MERCHANT = os.environ["FAREBOX_MERCHANT"]


def _client(key: str) -> AuthenticatedClient:
    return AuthenticatedClient(
        base_url=os.environ["FAREBOX_URL"], token=os.environ[key], prefix="", auth_header_name="x-api-key"
    )


def _expect(kind: type[Answer], answer: object) -> Answer:
    """Return an answer of this kind; any other is an error's envelope, or waits for a second person."""
    if not isinstance(answer, kind):
        raise TypeError(f"{kind.__name__} was expected, not {answer}")
    return answer


def _charge(key: str, *, quantity: int = 3, request_type: str = "image") -> ChargeRequest:
    return ChargeRequest(MERCHANT, request_type, key, quantity=quantity)


def main() -> None:
    """Do each in turn."""
    own, service = _client("FAREBOX_MERCHANT_KEY"), _client("FAREBOX_SERVICE_KEY")

    balance = _expect(BalanceAnswer, read_balance.sync(client=own))
    _show(str(Decimal(balance.data)))
    account = _expect(AccountAnswer, read_account.sync(client=own))
    _show(account.data.amount_probe)

    quoted = _expect(QuoteAnswer, quote.sync(client=service, body=QuoteRequest("image", merchant=MERCHANT, quantity=3)))
    _show(quoted.data.amount)

    charged = _expect(ChargeAnswer, charge.sync(client=service, body=_charge("job-1"))).data
    _show([charged.cost, charged.available])
    again = charge.sync_detailed(client=service, body=_charge("job-1"))
    _show(again.headers["idempotent-replay"])

    hold = HoldRequest(MERCHANT, "call", "job-2", amount="2.50", ttl_seconds=60)
    held = _expect(HoldAnswer, open_hold.sync(client=service, body=hold)).data
    taken = CaptureRequest("job-2-done", amount="1.25")
    captured = _expect(CaptureAnswer, capture_hold.sync(held.hold_id, client=service, body=taken)).data
    _show([captured.captured, captured.released])

    back = RefundRequest(charged.transfer_id, "job-1-back", amount="0.01")
    _show(_expect(RefundAnswer, refund.sync(client=service, body=back)).data.amount)

    charges = BatchRequest([_charge("job-3"), _charge("job-4", request_type="nothing")])
    batch = _expect(BatchAnswer, charge_batch.sync(client=service, body=charges)).data
    _show([one.data.cost if isinstance(one.data, ChargeData) else one.error_code for one in batch.outcomes])

    page = _expect(TransfersAnswer, list_transfers.sync(client=own, kind=ListTransfersKind.CHARGE, limit=10))
    _show([transfer.amount for transfer in page.data.transfers])

    refused = charge.sync_detailed(client=service, body=_charge("job-5", quantity=1_000_000))
    error = _expect(Error, refused.parsed)
    _show([error.status_code, error.is_success, refused.headers["x-error-code"]])


def _show(outcome: object) -> None:
    print(json.dumps(outcome))


if __name__ == "__main__":
    main()
