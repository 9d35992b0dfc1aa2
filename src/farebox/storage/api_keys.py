"""API keys: merchants' stand with their merchant, those of services and support on their own."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from farebox.core.audit_log import AuditEntry
from farebox.core.people import People, read_people, write_people
from farebox.core.state import KeyRecord
from farebox.storage.interface import Fetch, NotFound, StorageError
from farebox.storage.makers import people_of
from farebox.storage.records import COMMAND_LINE_MAKER, ApiKey, Maker, Repeat
from farebox.storage.rows import api_key_to_row
from farebox.storage.subject import SubjectStore


class KeyEnded(StorageError):
    """The key was revoked or has expired; nothing was changed."""


class KeyUnchanged(StorageError):
    """The key was suspended already, or is not suspended; nothing was changed."""


class ApiKeyStore(SubjectStore):
    """The API keys of one database."""

    async def create(
        self,
        key: ApiKey,
        audit_entry: AuditEntry | None = None,
        repeat: Repeat | None = None,
        *,
        maker: Maker = COMMAND_LINE_MAKER,
    ) -> None:
        """Add an API key; a service's or support's counts as the people whom its maker counts as at this moment.

        Raises:
            AlreadyExists: the key is there.
            NotFound: no such merchant.
        """

        async def create(fetch: Fetch) -> None:
            await self._claim(fetch, repeat)
            people = frozenset[int]() if key.merchant_id is not None else await people_of(fetch, self._sql, maker)
            await self._insert(fetch, key, people)

        await self._connector.run_in_transaction(create, audit_entry)

    async def authenticate(self, merchant_id: int | None, digest: bytes) -> KeyRecord | None:
        """Look an API key up: a merchant's by its merchant and digest, a service's or support's with None."""
        # A request of every kind begins with this, so it takes no step more than it must.
        if merchant_id is None:
            rows = await self._connector.fetch(self._sql["find_staff_key"], digest)
        else:
            rows = await self._connector.fetch(self._sql["find_merchant_key"], merchant_id, digest)
        return KeyRecord(*rows[0]) if rows else None

    async def imported_owners(self, digests: Sequence[bytes]) -> Mapping[bytes, int]:
        """Tell whose keys of these digests are that another system gave out; a digest of none is absent."""
        rows = await self._connector.fetch(self._sql["imported_keys"], [_number_of(digest) for digest in digests])
        wanted = set(digests)
        return {digest: merchant_id for digest, merchant_id in rows if digest in wanted}

    async def add_imported(self, keys: Sequence[ApiKey]) -> None:
        """Add merchants' API keys that another system gave out, all of them or none.

        Raises:
            AlreadyExists: one of them is there.
            NotFound: no such merchant.
        """

        async def add(fetch: Fetch) -> None:
            for key in keys:
                await fetch(self._sql["insert_merchant_key"], *api_key_to_row(key))
                await fetch(self._sql["insert_imported_key"], _number_of(key.digest), key.digest, key.merchant_id)

        await self._connector.run_in_transaction(add)

    async def find(self, key_id: int) -> ApiKey | None:
        """Find an API key of any kind by its id."""
        row = await self._row("api_key", key_id)
        return None if row is None else ApiKey(*row)

    async def list(self, merchant_id: int | None) -> Sequence[ApiKey]:
        """List a merchant's API keys, or the services' and support's with None, oldest first."""
        found = await (self._rows("staff_keys") if merchant_id is None else self._rows("merchant_keys", merchant_id))
        return [ApiKey(*row) for row in found]

    async def expire(self, key_id: int, at: int, *, now: int, audit_entry: AuditEntry | None = None) -> None:
        """Let an API key end at a time, earlier or later than it was to.

        Raises:
            NotFound: no such key.
            KeyEnded: it has ended by `now`.
        """

        async def expire(fetch: Fetch) -> None:
            await self._end(fetch, "expire", key_id, at, now)

        await self._connector.run_in_transaction(expire, audit_entry)

    async def revoke(self, key_id: int, at: int, audit_entry: AuditEntry | None = None) -> None:
        """Close an API key for ever.

        Raises:
            NotFound: no such key.
            KeyEnded: it was closed by then.
        """

        async def revoke(fetch: Fetch) -> None:
            await self._end(fetch, "revoke", key_id, at)

        await self._connector.run_in_transaction(revoke, audit_entry)

    async def suspend(self, key_id: int, at: int, audit_entry: AuditEntry | None = None) -> None:
        """Let a merchant's API key open nothing until it is resumed.

        Raises:
            NotFound: no merchant has such a key.
            KeyUnchanged: it is suspended already.
            KeyEnded: it was revoked or has expired by then.
        """

        async def suspend(fetch: Fetch) -> None:
            if await fetch(self._sql["suspend_merchant_key"], key_id, at):
                return
            key = await self._merchants_key(fetch, key_id)
            raise KeyUnchanged if key.suspended_at is not None else KeyEnded(f"the key {key_id} has ended")

        await self._connector.run_in_transaction(suspend, audit_entry)

    async def resume(self, key_id: int, audit_entry: AuditEntry | None = None) -> None:
        """Let a merchant's API key that is suspended open what it did before.

        Raises:
            NotFound: no merchant has such a key.
            KeyUnchanged: it is not suspended.
        """

        async def resume(fetch: Fetch) -> None:
            if not await fetch(self._sql["resume_merchant_key"], key_id):
                await self._merchants_key(fetch, key_id)
                raise KeyUnchanged

        await self._connector.run_in_transaction(resume, audit_entry)

    async def rotate(
        self,
        key_id: int,
        *,
        successor: ApiKey,
        expires_at: int,
        audit_entry: AuditEntry | None = None,
        repeat: Repeat | None = None,
        maker: Maker = COMMAND_LINE_MAKER,
    ) -> None:
        """Add a key's successor and let the old one expire at `expires_at`, or earlier if it already was to.

        The successor of a merchant's key spends from the same budget.

        The successor of a service's or support's key counts as the people who made the old one, and, as they may have
        seen its text, as those who rotate it; but the command line gives a key to those it belongs to.

        Raises:
            NotFound: no such key.
            KeyEnded: it had ended when the successor was made.
        """

        async def rotate(fetch: Fetch) -> None:
            await self._claim(fetch, repeat)
            if successor.merchant_id is not None:
                # To set a budget is to set it for all keys that spend from it.
                await fetch(self._sql["lock_account"], successor.merchant_id)
            await self._end(fetch, "succeed", key_id, expires_at, successor.created_at)
            people = frozenset[int]()
            ((*row,),) = await fetch(self._sql["api_key"], key_id)
            earlier = ApiKey(*row)
            if successor.merchant_id is None:
                people = read_people(earlier.people)
                if maker != COMMAND_LINE_MAKER:
                    people |= await people_of(fetch, self._sql, maker)
            await self._insert(fetch, replace(successor, budget_id=earlier.budget_id), people)

        await self._connector.run_in_transaction(rotate, audit_entry)

    async def note_use(self, keys: Sequence[tuple[int | None, bytes]], at: int) -> None:
        """Write that keys were used; each is its merchant's number, None for a service's or support's, and its digest.

        A key that is not there is passed over.
        """

        async def note(fetch: Fetch) -> None:
            # In one order in every process, so that two of them never wait for each other.
            for merchant_id, digest in sorted(keys, key=lambda key: (key[0] or 0, key[1])):
                if merchant_id is None:
                    await fetch(self._sql["note_staff_key"], digest, at)
                else:
                    await fetch(self._sql["note_merchant_key"], merchant_id, digest, at)

        await self._connector.run_in_transaction(note)

    async def rename(self, key: ApiKey, name: str | None, audit_entry: AuditEntry | None = None) -> None:
        """Give an API key another name; a merchant's may have none.

        Raises:
            NotFound: no such key.
        """
        statement = "rename_staff_key" if key.merchant_id is None else "rename_merchant_key"
        await self._change(statement, key.key_id, name, missing=f"no key {key.key_id}", audit_entry=audit_entry)

    async def assign(self, key_id: int, people: People, audit_entry: AuditEntry | None = None) -> None:
        """Say whose a service's or support's key is.

        Raises:
            NotFound: no service or support has such a key.
        """
        missing = f"no service or support has a key {key_id}"
        await self._change(
            "set_staff_key_people", key_id, write_people(people), missing=missing, audit_entry=audit_entry
        )

    async def _insert(self, fetch: Fetch, key: ApiKey, people: People) -> None:
        if key.merchant_id is None:
            await fetch(self._sql["insert_staff_key"], *api_key_to_row(replace(key, people=write_people(people))))
        else:
            await fetch(self._sql["insert_merchant_key"], *api_key_to_row(key))

    async def _merchants_key(self, fetch: Fetch, key_id: int) -> ApiKey:
        found = await fetch(self._sql["api_key"], key_id)
        key = ApiKey(*found[0]) if found else None
        if key is None or key.merchant_id is None:
            raise NotFound(f"no merchant has a key {key_id}")
        return key

    async def _end(self, fetch: Fetch, how: str, key_id: int, *times: int) -> None:
        for kept_in in ("merchant", "staff"):
            if await fetch(self._sql[f"{how}_{kept_in}_key"], key_id, *times):
                return
        if await fetch(self._sql["api_key"], key_id):
            raise KeyEnded(f"the key {key_id} has ended")
        raise NotFound(f"no key {key_id}")


def _number_of(digest: bytes) -> int:
    """Take the number that an imported key is looked up by out of its digest."""
    return int.from_bytes(digest[:8], "big") >> 1
