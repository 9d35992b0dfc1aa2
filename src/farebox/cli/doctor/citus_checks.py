"""Citus, where the extension is in the database: whether the ledger is spread, and its workers can be relied on."""

from typing import Final

from farebox.cli.doctor.findings import Finding, error, ok, warn
from farebox.storage.examination import CitusFacts, Worker

CITUS_MIN: Final = 13
_CHECK: Final = "database.citus"


def check_citus(facts: CitusFacts, where: str, *, has_schema: bool) -> list[Finding]:
    """Tell how a ledger's servers are; `has_schema` tells that `farebox init` was run at some time."""
    findings = [*_versions(facts, where), *_coordinator(facts, where)]
    if has_schema and facts.unspread:
        found = (
            f"Citus {facts.version} is here, and these tables are on the coordinator alone: {', '.join(facts.unspread)}"
        )
        findings.append(error(_CHECK, where, found, "stop the servers, and run: farebox init"))
    for worker in facts.workers:
        findings += _worker(worker, facts, has_shards=has_schema and not facts.unspread)
    if findings:
        return findings
    shards = ", ".join(f"{worker.name} has {worker.shards}" for worker in facts.workers)
    return [ok(_CHECK, where, f"Citus {facts.version}; shards: {shards or 'all on this server'}")]


def _versions(facts: CitusFacts, where: str) -> list[Finding]:
    if int(facts.version.partition(".")[0].partition("-")[0]) < CITUS_MIN:
        found = f"Citus {CITUS_MIN} or newer is needed; this is {facts.version}"
        return [error(_CHECK, where, found, "install a newer Citus on each server, and ALTER EXTENSION citus UPDATE")]
    if facts.version != facts.installed_version:
        found = (
            f"the extension is {facts.version} in this database, the server's programs are {facts.installed_version}"
        )
        return [error(_CHECK, where, found, "on each server, workers first: ALTER EXTENSION citus UPDATE")]
    return []


def _coordinator(facts: CitusFacts, where: str) -> list[Finding]:
    if not facts.workers or facts.is_coordinator_known:
        return []
    advice = "with the host by which workers reach it: SELECT citus_set_coordinator_host('HOST', PORT)"
    return [error(_CHECK, where, "Citus has workers, but no address of this coordinator", advice)]


def _worker(worker: Worker, facts: CitusFacts, *, has_shards: bool) -> list[Finding]:
    """Tell what is wrong with a worker."""
    if worker.problem:
        found = f"it does not answer ({worker.problem}): merchants of {worker.shards} shards get 503"
        return [error(_CHECK, worker.name, found, "start it, or promote its standby and SELECT citus_update_node(...)")]
    findings = []
    if worker.version != facts.version:
        found = f"its Citus is {worker.version or 'not there'}, the coordinator's is {facts.version}"
        findings.append(error(_CHECK, worker.name, found, "on each server: ALTER EXTENSION citus UPDATE"))
    if worker.settings["max_prepared_transactions"] == "0":
        found = "max_prepared_transactions is 0: whatever changes rows of several servers fails"
        advice = "ALTER SYSTEM SET max_prepared_transactions = as many as max_connections; restart it"
        findings.append(error(_CHECK, worker.name, found, advice))
    for name in ("fsync", "full_page_writes"):
        if worker.settings[name] == "off":
            found = f"{name} is off: a crash of the machine loses charges, or tears the database apart"
            advice = f"ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf()"
            findings.append(error("database.durability", worker.name, found, advice))
    if has_shards and not worker.shards:
        findings.append(warn(_CHECK, worker.name, "it has no shards", "SELECT citus_rebalance_start()"))
    return findings
