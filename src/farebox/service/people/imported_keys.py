"""Keys that another system gave out: whose they are, which their text does not say.

Who shows one costs a look-up more than who shows a key of Farebox's own. Whether the key is still good is decided where
it is of every key, in the transaction of what it asks for: neither its digest nor its merchant ever changes.
"""

from collections.abc import Collection, Mapping

from msgspec.structs import replace

from farebox.core.commands import Payer
from farebox.service.errors import InvalidKey, translated
from farebox.service.people.api_keys import ParsedKey, parse_key
from farebox.storage.api_keys import ApiKeyStore


class ImportedKeys:
    """Looks up whose imported keys are. Every method may raise Unavailable."""

    def __init__(self, api_keys: ApiKeyStore) -> None:
        """Look them up here."""
        self._api_keys = api_keys

    async def located(self, key: ParsedKey) -> ParsedKey:
        """Return a key with its merchant; one that names it already is returned as it is.

        Raises:
            InvalidKey: it is an import's, and no merchant has it.
        """
        if not key.is_imported or key.merchant_id is not None:
            return key
        with translated():
            owners = await self._api_keys.imported_owners([key.digest])
        if key.digest not in owners:
            raise InvalidKey
        return replace(key, merchant_id=owners[key.digest])

    async def payers(self, texts: Collection[str]) -> Mapping[str, Payer]:
        """Read whom charges are for that are named by imported keys; what is none of them is absent."""
        digests = {text: key.digest for text in texts if (key := parse_key(text)) is not None and key.is_imported}
        if not digests:
            return {}
        with translated():
            owners = await self._api_keys.imported_owners(list(digests.values()))
        return {text: Payer(owners[digest], digest) for text, digest in digests.items() if digest in owners}
