"""Secrets that an old secret key has encrypted are written anew with the one in use, so that the old one can go.

Destinations' secrets and those of one-time codes are kept for ever, so they are what an old key would be kept for.
Sessions and mailed links end by themselves.
"""

from typing import Final

from msgspec import Struct

from farebox.service.errors import translated
from farebox.service.people.destination_secrets import DestinationSecrets, SecretUnreadable
from farebox.service.people.signing import Signer
from farebox.storage.stores import Stores

_PAGE: Final = 500


class Rotated(Struct, frozen=True, rename="camel"):
    """How many were written anew, and which destinations have a secret that none of the keys can read."""

    destinations: int
    one_time_codes: int
    unreadable: tuple[int, ...]


class Rotation:
    """Writes secrets anew. It may raise Unavailable, and be done again; servers may work meanwhile."""

    def __init__(self, stores: Stores, signer: Signer, secrets: DestinationSecrets) -> None:
        """Work on these stores, with the key in use and those before it."""
        self._stores = stores
        self._signer = signer
        self._secrets = secrets

    async def rotate(self) -> Rotated:
        """Write anew what is not encrypted with the key in use."""
        with translated():
            destinations, unreadable = await self._rotate_destinations()
            return Rotated(destinations, await self._rotate_codes(), unreadable)

    async def _rotate_destinations(self) -> tuple[int, tuple[int, ...]]:
        count, after = 0, 0
        unreadable: list[int] = []
        while page := await self._stores.destinations.secrets(after, _PAGE):
            for destination_id, secret, secret_before in page:
                after = destination_id
                try:
                    rewritten = self._secrets.rewritten(destination_id, secret)
                    before = None if secret_before is None else self._secrets.rewritten(destination_id, secret_before)
                except SecretUnreadable:
                    unreadable.append(destination_id)
                    continue
                if rewritten is not None or before is not None:
                    count += await self._stores.destinations.rewrite_secrets(
                        destination_id, rewritten or secret, before or secret_before, known=secret
                    )
        return count, tuple(unreadable)

    async def _rotate_codes(self) -> int:
        """Wrap each secret with the key in use.

        One that was never wrapped is of the time when no key could follow another, so it is of the oldest one.
        """
        count, after = 0, 0
        while page := await self._stores.logins.totp_seeds(after, _PAGE):
            for login_id, seed in page:
                after = login_id
                if not self._signer.is_code_seed_current(seed):
                    wrapped = self._signer.wrapped_code_seed(self._signer.code_secrets(seed)[-1])
                    count += await self._stores.logins.replace_totp_seed(login_id, wrapped, before=seed)
        return count
