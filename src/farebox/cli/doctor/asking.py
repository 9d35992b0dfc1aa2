"""What a server says of itself at /healthz, if one answers."""

from http import HTTPStatus

import httpx2
import msgspec

from farebox.service.operator.health import Health


async def asked_health(url: str, seconds_max: float) -> Health | None:
    """Ask the server at a URL; None if none answers there, or another program does."""
    try:
        async with httpx2.AsyncClient(timeout=seconds_max, trust_env=False) as client:
            answer = await client.get(f"{url}/healthz")
        return msgspec.json.decode(answer.content, type=Health) if answer.status_code == HTTPStatus.OK else None
    except (httpx2.HTTPError, OSError, msgspec.DecodeError):
        return None
