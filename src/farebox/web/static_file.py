"""Files that browsers load, out of packages, each read once and named by a digest of its content."""

import hashlib
from functools import cached_property
from importlib.resources.abc import Traversable
from typing import Final

_DIGEST_BYTES: Final = 16


class StaticFile:
    """A file and its type."""

    def __init__(self, source: Traversable, media_type: str) -> None:
        """Read nothing yet."""
        self._source = source
        self.media_type = media_type

    @cached_property
    def body(self) -> bytes:
        """The content, read when it is first asked for."""
        return self._source.read_bytes()

    @cached_property
    def digest(self) -> str:
        """A name that is another one whenever the content is."""
        return hashlib.blake2b(self.body, digest_size=_DIGEST_BYTES).hexdigest()
