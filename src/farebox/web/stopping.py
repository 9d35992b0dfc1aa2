"""How kept connections end when a process stops: each with the answer to what was asked on it last."""

from starlette.types import Message, Send

_CLOSE = (b"connection", b"close")


class Stopping:
    """Whether the process was told to stop; connections are not kept from then on."""

    def __init__(self) -> None:
        """Begin with connections that are kept."""
        self.is_stopping = False

    def begin(self) -> None:
        """Close each connection with the next answer on it, which says so."""
        self.is_stopping = True


def closing(send: Send) -> Send:
    """Send an answer with word to the client that the connection ends with it."""

    async def send_last(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), _CLOSE]
        await send(message)

    return send_last
