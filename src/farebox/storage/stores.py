"""The list of stores: everything that is kept in one database, by subject. It is written here alone."""

from msgspec import Struct

from farebox.storage.accounts import AccountStore
from farebox.storage.alerting.runway_episodes import RunwayEpisodeStore
from farebox.storage.alerting.spending import SpendingStore
from farebox.storage.api_keys import ApiKeyStore
from farebox.storage.approvals import ApprovalStore
from farebox.storage.audit_log import AuditLogStore
from farebox.storage.budgets import BudgetStore
from farebox.storage.grants import GrantStore
from farebox.storage.holds import HoldStore
from farebox.storage.interface import Connector
from farebox.storage.merchants import MerchantStore
from farebox.storage.messages.destinations import DestinationStore
from farebox.storage.messages.queue import MessageQueueStore
from farebox.storage.outgoing.account_mails import AccountMailStore
from farebox.storage.outgoing.deliveries import DeliveryStore
from farebox.storage.outgoing.mail_servers import MailServerStore
from farebox.storage.outgoing.reports import ReportStore
from farebox.storage.people.erasure import ErasureStore
from farebox.storage.people.logins import LoginStore
from farebox.storage.people.sessions import SessionStore
from farebox.storage.people.users import UserStore
from farebox.storage.prices import PriceStore
from farebox.storage.repeats import RepeatStore
from farebox.storage.runway_snapshots import RunwaySnapshotStore
from farebox.storage.shortfalls import ShortfallStore
from farebox.storage.sums.refusals import RefusalStore
from farebox.storage.sums.revenue import RevenueStore
from farebox.storage.sums.usage import UsageStore
from farebox.storage.transfers import TransferStore
from farebox.storage.verifications import VerificationStore


class Stores(Struct, frozen=True):
    """The stores over one connector."""

    connector: Connector
    merchants: MerchantStore
    accounts: AccountStore
    transfers: TransferStore
    holds: HoldStore
    shortfalls: ShortfallStore
    grants: GrantStore
    users: UserStore
    api_keys: ApiKeyStore
    budgets: BudgetStore
    prices: PriceStore
    approvals: ApprovalStore
    audit_log: AuditLogStore
    deliveries: DeliveryStore
    message_queue: MessageQueueStore
    destinations: DestinationStore
    account_mails: AccountMailStore
    mail_servers: MailServerStore
    logins: LoginStore
    sessions: SessionStore
    erasure: ErasureStore
    usage: UsageStore
    revenue: RevenueStore
    refusals: RefusalStore
    reports: ReportStore
    runway_snapshots: RunwaySnapshotStore
    runway_episodes: RunwayEpisodeStore
    spending: SpendingStore
    verifications: VerificationStore
    repeats: RepeatStore

    @classmethod
    def over(cls, connector: Connector) -> "Stores":
        """Put every store over one database; it need not be open yet."""
        return cls(
            connector=connector,
            merchants=MerchantStore(connector),
            accounts=AccountStore(connector),
            transfers=TransferStore(connector),
            holds=HoldStore(connector),
            shortfalls=ShortfallStore(connector),
            grants=GrantStore(connector),
            users=UserStore(connector),
            api_keys=ApiKeyStore(connector),
            budgets=BudgetStore(connector),
            prices=PriceStore(connector),
            approvals=ApprovalStore(connector),
            audit_log=AuditLogStore(connector),
            deliveries=DeliveryStore(connector),
            message_queue=MessageQueueStore(connector),
            destinations=DestinationStore(connector),
            account_mails=AccountMailStore(connector),
            mail_servers=MailServerStore(connector),
            logins=LoginStore(connector),
            sessions=SessionStore(connector),
            erasure=ErasureStore(connector),
            usage=UsageStore(connector),
            revenue=RevenueStore(connector),
            refusals=RefusalStore(connector),
            reports=ReportStore(connector),
            runway_snapshots=RunwaySnapshotStore(connector),
            runway_episodes=RunwayEpisodeStore(connector),
            spending=SpendingStore(connector),
            verifications=VerificationStore(connector),
            repeats=RepeatStore(connector),
        )
