"""Many charges in one request: a JSON array of up to 10,000, or lines of JSON without end.

Each charge is one of its own: it is answered as its single twin would be, and one that is refused or malformed leaves
the others be. The whole is not atomic. Repeating the whole is safe, as repeating each is.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import IO, Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct
from starlette.types import Receive

from farebox.core.commands import Caller
from farebox.core.outcomes import Outcome
from farebox.http.limits import HTTP_LIMITS, HttpLimits
from farebox.service.errors import Refused, ServiceError
from farebox.services import Services
from farebox.web.api.charges import charge_data
from farebox.web.api_route import SERVICE, Answer, ApiRequest, Endpoints, Stream, route
from farebox.web.body import BODY_BYTES_MAX, media_type, read_body
from farebox.web.body_timeout import BodyReader
from farebox.web.decoding import BodyDecoder
from farebox.web.envelope import ApiError, api_error, success_body
from farebox.web.schemas.spending import (
    BATCH_CHARGES_MAX,
    BatchData,
    BatchOutcome,
    BatchRequest,
    ChargeRequest,
)

BATCH_BYTES_MAX: Final = 16 * 1024 * 1024
NDJSON: Final = "application/x-ndjson"

_CHUNK_CHARGES: Final = 1_000
_CHUNK_BYTES: Final = 256 * 1024
"""How large a chunk is at most that is decoded at once: it may have to be decoded again, with care."""

_SPOOL_BYTES: Final = 1024 * 1024
_PIECE_BYTES: Final = 64 * 1024
_JSON_SPACE: Final = b" \t\n\r"
_CHARGED: Final = '{"isSuccess":true,"statusCode":200,"errorCode":null,"errorMessage":null,"isReplay":false,"data":'
_REPLAYED: Final = _CHARGED.replace('"isReplay":false', '"isReplay":true')
"""How the outcome of a charge begins; its data follows."""


class _RawBatch(Struct, forbid_unknown_fields=True):
    charges: msgspec.Raw


_RawCharges = Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=BATCH_CHARGES_MAX)]


class ChargeBatchEndpoints(Endpoints):
    """Charges in bulk."""

    def __init__(self, services: Services, limits: HttpLimits) -> None:
        """Answer from these services, and take so many lines of a connection."""
        super().__init__(services)
        self._lines_max = limits.lines
        self._batch_decoder = msgspec.json.Decoder(_RawBatch)
        self._charges_decoder = msgspec.json.Decoder(_RawCharges)
        self._charge_decoder = BodyDecoder(ChargeRequest)
        self._small_decoder = BodyDecoder(BatchRequest)

    @route(
        method="POST",
        path="/api/charges/batch",
        keys=SERVICE,
        summary="Deduct the cost of many requests",
        data=BatchData,
        raw_body=BatchRequest,
        body_bytes_max=BATCH_BYTES_MAX,
        media=(NDJSON,),
        description=(
            f"Up to {BATCH_CHARGES_MAX:,} charges, each on its own: the whole is not atomic, and "
            f"repeating it is safe. For more than that, send Content-Type: {NDJSON}, a charge a line, and get "
            f"an outcome a line, in order, once the last one has come; up to {HTTP_LIMITS.lines:,} lines."
        ),
    )
    async def charge_batch(self, request: ApiRequest) -> Answer | Stream:
        """Deduct the cost of many requests."""
        scope, receive, caller = request.scope, request.receive, request.caller
        types = [media_type(value) for name, value in scope["headers"] if name == b"content-type"]
        if NDJSON.encode() in types:
            if isinstance(receive, BodyReader):
                receive.allow_pauses()
            return await self._charge_lines(receive, caller)
        body = await read_body(scope, receive, BATCH_BYTES_MAX)
        requests = self._faultless(body)
        if requests is None:
            requests = []
            charges = self._charges(body)
            for start in range(0, len(charges), _CHUNK_CHARGES):
                requests += self._decoded_at_once([bytes(raw) for raw in charges[start : start + _CHUNK_CHARGES]])
                # Others are served between one chunk and the next.
                await asyncio.sleep(0)
        results = await self._services.operations.charge_all(_whole(requests), caller=caller)
        outcomes = ",".join(_outcomes(requests, results))
        return Answer(success_body(f'{{"outcomes":[{outcomes}]}}'.encode()))

    def _faultless(self, body: bytes, bytes_max: int = BODY_BYTES_MAX) -> list[ChargeRequest | ApiError] | None:
        """Decode a small batch as a whole, in a third of the time; None if anything in it may be wrong."""
        if len(body) > bytes_max or b"\\" in body:
            return None
        try:
            return [*self._small_decoder.decode(body).charges]
        except ApiError:
            return None

    def _charges(self, body: bytes) -> list[msgspec.Raw]:
        """Cut a batch into its charges, each still to be decoded.

        Raises:
            ApiError: 400 for what is no batch, 422 for no charges, too many, or what is no list of them.
        """
        try:
            whole = bytes(self._batch_decoder.decode(body).charges)
        except msgspec.ValidationError as error:
            raise ApiError(400, "malformed_request", str(error)) from error
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise ApiError(400, "malformed_request", f"The body is not valid JSON: {error}") from error
        # Between the list and the batch's end there is nothing else, unless an earlier list stands before this one.
        start = body.find(b":") + 1
        if body[start:].lstrip(_JSON_SPACE)[len(whole) :].strip(_JSON_SPACE) != b"}":
            raise ApiError(400, "malformed_request", "The field 'charges' is given more than once")
        try:
            return self._charges_decoder.decode(whole)
        except msgspec.ValidationError as error:
            raise ApiError(422, "invalid_value", f"charges: {error}") from error

    async def _charge_lines(self, receive: Receive, caller: Caller) -> Stream:
        """Charge lines as they come, and answer once all have come: who sends may not be reading yet."""
        spool = tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES)  # noqa: SIM115 - _pieces closes it.
        count = 0
        try:
            async for lines in _lines(receive):
                count += len(lines)
                if count > self._lines_max:
                    words = (
                        f"A connection may send {self._lines_max:,} lines; this line and those after it were not read"
                    )
                    spool.write(f"{_failure(ApiError(413, 'payload_too_large', words))}\n".encode())
                    break
                requests = self._decoded(lines)
                results = await self._services.operations.charge_all_when_there_is_room(_whole(requests), caller=caller)
                spool.write("".join(f"{outcome}\n" for outcome in _outcomes(requests, results)).encode())
        except ApiError as error:
            if not count:
                spool.close()
                raise
            # The rest did not come in time; what became of the lines before is told all the same.
            spool.write(f"{_failure(error)}\n".encode())
        except BaseException:
            spool.close()
            raise
        spool.seek(0)
        return Stream(_pieces(spool), [(b"content-type", NDJSON.encode())])

    def _decoded_at_once(self, texts: Sequence[bytes]) -> list[ChargeRequest | ApiError]:
        """Decode the charges of a larger batch, all of a chunk at once if nothing in it may be wrong."""
        requests = None
        if max(map(len, texts)) <= BODY_BYTES_MAX:
            requests = self._faultless(b'{"charges":[%b]}' % b",".join(texts), _CHUNK_BYTES)
        return self._decoded(texts) if requests is None else requests

    def _decoded(self, texts: Sequence[bytes]) -> list[ChargeRequest | ApiError]:
        """Decode charges; the place of one that is malformed has what is wrong with it."""
        requests: list[ChargeRequest | ApiError] = []
        for text in texts:
            if len(text) > BODY_BYTES_MAX:
                requests.append(ApiError(413, "payload_too_large", f"A charge may have {BODY_BYTES_MAX} bytes at most"))
                continue
            try:
                requests.append(self._charge_decoder.decode(text))
            except ApiError as error:
                requests.append(error)
        return requests


def _whole(requests: Sequence[ChargeRequest | ApiError]) -> list[ChargeRequest]:
    return [request for request in requests if not isinstance(request, ApiError)]


def _outcomes(requests: Sequence[ChargeRequest | ApiError], results: Iterable[Outcome | ServiceError]) -> list[str]:
    """Write an outcome for each request, in order; those that could be decoded have a result."""
    following = iter(results)
    return [_failure(request) if isinstance(request, ApiError) else _outcome(next(following)) for request in requests]


def _outcome(result: Outcome | ServiceError) -> str:
    if isinstance(result, Exception):
        return _failure(api_error(result))
    transfer = result.transfer
    if transfer is None:
        return _failure(api_error(Refused(result)))
    return f"{_REPLAYED if result.is_replay else _CHARGED}{charge_data(transfer)}}}"


def _failure(error: ApiError) -> str:
    outcome = BatchOutcome(
        is_success=False,
        status_code=error.status,
        error_code=error.code,
        error_message=error.message,
        is_replay=False,
        data=None,
    )
    return msgspec.json.encode(outcome).decode()


async def _lines(receive: Receive) -> AsyncIterator[list[bytes]]:
    """Cut a body into lines, blank ones left out, _CHUNK_CHARGES at most at a time, as they come.

    Of a caller that goes away in the middle, or goes on too slowly, the lines that came whole are taken.

    Raises:
        ApiError: 408, after the lines that came whole.
    """
    rest = b""
    lines: list[bytes] = []
    more = True
    while more:
        try:
            message: Any = await receive()
        except ApiError:
            if lines:
                yield lines
            raise
        if message["type"] == "http.disconnect":
            break
        *whole, rest = (rest + message.get("body", b"")).split(b"\n")
        more = message.get("more_body", False)
        if not more:
            whole.append(rest)
        # Of a line that is too long, one byte too many is kept, for which it is refused.
        lines += [line[: BODY_BYTES_MAX + 1] for line in whole if len(line) > BODY_BYTES_MAX or line.strip()]
        rest = rest[: BODY_BYTES_MAX + 1]
        while len(lines) >= _CHUNK_CHARGES:
            yield lines[:_CHUNK_CHARGES]
            lines = lines[_CHUNK_CHARGES:]
    if lines:
        yield lines


async def _pieces(spool: IO[bytes]) -> AsyncIterator[bytes]:
    with spool:
        while piece := spool.read(_PIECE_BYTES):
            yield piece
