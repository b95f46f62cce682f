"""The verdicts: whatever differs from the source is a mismatch, and what cannot be said is said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.domain.rules import AccountingRules, DocumentRules
from snapshot_assets.domain.time import bucket_iso
from snapshot_assets.errors import SourceError, SourceOutageError
from snapshot_assets.lake.notes import AGGREGATES, RAW_ROWS
from snapshot_assets.pipeline.proof import prove
from snapshot_assets.pipeline.proof.fetch import SecondSource
from snapshot_assets.pipeline.proof.prove import Proof, Proofs, prove_host_days
from snapshot_assets.pipeline.publish import publish
from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets.source.query import Tally
from snapshot_assets.store.layout import Retention
from snapshot_assets.store.reading.reader import RedisReader
from snapshot_assets_tests.pipeline.proof.conftest import HOSTS
from snapshot_assets_tests.support.field_table import DAY, MIDNIGHT, execute
from snapshot_assets_tests.support.settlings import ALICE, DOCUMENTS, NEXT_DAY, RULES, Settling

WANTED = [HostDay(DAY, host) for host in HOSTS]
KEY = bucket_iso(MIDNIGHT + 300)
Change = Callable[[dict[str, Any]], None]


def proofs_of(
    settled: Settling,
    host_days: Sequence[HostDay] = WANTED,
    rules: AccountingRules = RULES,
    documents: DocumentRules = DOCUMENTS,
    seconds: float = 60,
    reader: RedisReader | None = None,
) -> Proofs:
    with reader or RedisReader(port=settled.redis.port) as opened:
        return prove_host_days(
            settled.source, settled.lake, opened, host_days, rules, documents, seconds
        )


def proof_of(settled: Settling, **options: Any) -> Proof:
    ((host_day, proof),) = proofs_of(settled, [ALICE], **options).found
    assert host_day == ALICE
    return proof


def change_document(settled: Settling, change: Change) -> None:
    with settled.redis.client() as client:
        document = orjson.loads(client.hget(KEY, "alice") or b"")
        change(document)
        client.hset(KEY, "alice", orjson.dumps(document))


def test_settled_host_days_match_to_the_last_digit(settled: Settling) -> None:
    proofs = proofs_of(settled)
    assert [host_day for host_day, _ in proofs.found] == WANTED
    assert proofs.unproven == []
    for _, proof in proofs.found:
        assert (proof.verdict, proof.why) == ("match", "")
        assert proof.source_cpu_seconds == pytest.approx(proof.redis_cpu_seconds, abs=0.01)
        assert proof.source_gb_seconds == pytest.approx(proof.redis_gb_seconds, abs=0.01)
        # Two cores and 72 GB for an hour, and the short processes.
        assert proof.source_cpu_seconds > 2 * 3_200
        assert proof.source_gb_seconds > 72 * 3_200


def add_entry(document: dict[str, Any]) -> None:
    document["cpu"]["user"].append({"cpu_norm": 0.0, "username": "eve", "comm": "sh"})


CHANGES: dict[str, Change] = {
    "cores": lambda d: d["cpu"]["command"].update(cpu_norm=9.0),
    "GB": lambda d: d["mem"]["command"].update(rss=9.0),
    "cores of `other`": lambda d: d["cpu"]["other"].update(cpu_norm=0.04),
    "GB of `other`": lambda d: d["mem"]["other"].update(rss=0.04),
    "cores of (ana, python)": lambda d: d["cpu"]["user"][0].update(cpu_norm=1.999),
    "GB of (ben, R)": lambda d: d["mem"]["user"][0].update(rss=1.999),
    "cores of (eve, python)": lambda d: d["cpu"]["user"][0].update(username="eve"),
    "cores of (eve, sh)": add_entry,
    "coverage": lambda d: d["meta"].update(coverage=0.999),
    "snapshots": lambda d: d["meta"].update(snapshots=3),
    "cores of the machine": lambda d: d["cpu"].update(machine={"cpu_norm": 2.0, "cores": 4}),
    "GB used of the machine": lambda d: d["mem"].update(machine={"used": 2.0, "total": 4.0}),
}


@pytest.mark.parametrize("what", CHANGES)
def test_each_number_of_a_document_is_compared(settled: Settling, what: str) -> None:
    change_document(settled, CHANGES[what])
    proof = proof_of(settled)
    assert proof.verdict == "mismatch"
    assert {difference.where for difference in proof.differences} == {KEY}
    assert what in {difference.what for difference in proof.differences}
    assert proof.why.startswith(f"{KEY}: ")
    assert "published" in proof.why


def test_a_document_too_many_or_missing_is_named(settled: Settling) -> None:
    with settled.redis.client() as client:
        body = client.hget(KEY, "alice") or b""
        client.hdel(KEY, "alice")
        assert proof_of(settled).why == f"{KEY}: coverage: nothing published, 1 recounted"
        client.hset(KEY, "alice", body)
        client.hset(bucket_iso(MIDNIGHT + 7200), "alice", body)
    assert proof_of(settled).why.endswith("1 published, nothing recounted")


def test_a_ledger_that_the_rows_do_not_add_up_to_is_a_mismatch(settled: Settling) -> None:
    aggregates, note = settled.lake.read(AGGREGATES, *ALICE)
    changes: dict[str, Any] = {
        "attributed_cpu_seconds": 1.0,
        "gap_cpu_seconds": 1.0,
        "clock_offsets": 1,
        "rows": note.ledger.rows | {"gap": 1},
        "window_rows": note.ledger.window_rows | {"duplicate": 1},
    }
    for name, value in changes.items():
        changed = replace(note, ledger=replace(note.ledger, **{name: value}))
        settled.lake.write(AGGREGATES, *ALICE, aggregates, changed)
        proof = proof_of(settled)
        assert proof.verdict == "mismatch", name
        assert proof.why.startswith("ledger: ")


@pytest.mark.parametrize(
    "documents",
    [DocumentRules(0, 0), DocumentRules(2, 0.5), DocumentRules(10**6, 10**6)],
)
def test_documents_are_expected_to_list_what_is_above_the_thresholds(
    settled: Settling, documents: DocumentRules
) -> None:
    before = proof_of(settled, documents=documents)
    assert before.verdict == "inconclusive"
    assert "made with other settings (cpu_threshold 0.05 -> " in before.why
    with RedisWriter(port=settled.redis.port) as writer:
        publish(settled.lake, writer, ALICE, documents)
    assert proof_of(settled, documents=documents).verdict == "match"


def test_rows_that_arrived_since_make_it_inconclusive(settled: Settling) -> None:
    settled.load_more("alice")
    rows = len(settled.rows("alice"))
    proof = proof_of(settled)
    assert proof.verdict == "inconclusive"
    assert f"{rows:,} rows now, the documents were made from {rows - 1:,}" in proof.why
    # As many rows as then, but others.
    execute(
        settled.source,
        "DELETE FROM processes WHERE pid = 40 AND host = 'alice' "
        "AND snapshot_time_epoch BETWEEN :a AND :b",
        a=MIDNIGHT,
        b=MIDNIGHT + 299,
    )
    assert "another newest row" in proof_of(settled).why


def test_rows_that_the_settling_does_not_see_are_a_mismatch(
    settled: Settling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query of the settling that loses rows, such as by their local time, is found."""
    settled.load_more("alice")
    before = settled.source.tally

    def narrowed(*arguments: Any, **options: Any) -> dict[str, Tally]:
        found = before(*arguments, **options)
        return {host: replace(tally, rows=tally.rows - 1) for host, tally in found.items()}

    monkeypatch.setattr(settled.source, "tally", narrowed)
    proof = proof_of(settled)
    assert proof.verdict == "mismatch"
    assert "the settling's query finds" in proof.why


def test_a_row_that_was_replaced_is_a_mismatch(settled: Settling) -> None:
    execute(
        settled.source,
        "UPDATE processes SET cputimes = cputimes + 60 WHERE pid = 7 AND host = 'alice' "
        "AND snapshot_time_epoch BETWEEN :a AND :b",
        a=MIDNIGHT + 600,
        b=MIDNIGHT + 899,
    )
    proof = proof_of(settled)
    assert proof.verdict == "mismatch"
    assert bucket_iso(MIDNIGHT + 300) in proof.why


def test_a_day_that_should_have_been_refused_is_a_mismatch(settled: Settling) -> None:
    execute(
        settled.source,
        "UPDATE processes SET rss = -1 WHERE pid = 9 AND host = 'alice'",
    )
    proof = proof_of(settled)
    assert proof.verdict == "mismatch"
    assert "the day was not refused" in proof.why


def test_other_settings_than_a_day_was_made_with_are_no_mismatch(settled: Settling) -> None:
    for rules, name in (
        (AccountingRules(excluded_users=("a*",)), "exclude_users"),
        (AccountingRules(drop_idle_memory=True), "drop_idle_memory"),
        (AccountingRules(capacity_cores={"alice": 0.5}), "capacity_cores"),
    ):
        proof = proof_of(settled, rules=rules)
        assert proof.verdict == "inconclusive"
        assert proof.why.startswith(f"made with other settings ({name} ")
        assert proof.differences, "the recount follows the settings of now"
    # Settings that change no number of the day do not matter.
    assert proof_of(settled, rules=AccountingRules(excluded_users=("nobody",))).verdict == "match"


def test_what_the_kernel_counted_is_proven_too(settling: Settling) -> None:
    execute(
        settling.source,
        "CREATE TABLE machines (host TEXT, snapshot_time_epoch INT, cores INT, cpu_seconds INT, "
        "memory_bytes INT, memory_used_bytes INT, boot_epoch INT)",
    )
    settling.load("alice")
    count = "INSERT INTO machines VALUES ('alice', :t, 4, :t, 9000000000, 3000000000, 1)"
    for seconds in (0, 300, 600):
        execute(settling.source, count, t=MIDNIGHT + seconds)
    settling.run(ALICE)
    assert proof_of(settling).verdict == "match"
    change_document(settling, lambda d: d["cpu"]["machine"].update(cpu_norm=0.5))
    assert "cores of the machine: 0.5 published, 1 recounted" in proof_of(settling).why
    execute(settling.source, count, t=MIDNIGHT + 900)
    proof = proof_of(settling)
    assert proof.verdict == "inconclusive"
    assert "machine's own count has other rows" in proof.why


def test_host_days_are_proven_in_their_order_as_far_as_the_time_reaches(
    settled: Settling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prove, "_BATCH_ROWS", 1)
    order = [WANTED[1], HostDay(NEXT_DAY, "alice"), WANTED[0], WANTED[2]]
    everything = proofs_of(settled, order)
    assert [host_day for host_day, _ in everything.found] == order
    assert everything.unproven == []
    stopped = proofs_of(settled, order, seconds=0)
    assert [host_day for host_day, _ in stopped.found] == order[:1]
    assert stopped.unproven == order[1:]
    assert proofs_of(settled, []) == Proofs([], [])


def test_several_days_and_hosts_are_proven_as_each_alone(settled: Settling) -> None:
    wanted = [*WANTED, *(HostDay(NEXT_DAY, host) for host in HOSTS)]
    together = dict(proofs_of(settled, wanted).found)
    for host_day in wanted:
        ((_, alone),) = proofs_of(settled, [host_day]).found
        assert (alone.verdict, alone.why) == ("match", "")
        # Sums of the same numbers in another order.
        for name in ("source_cpu_seconds", "source_gb_seconds", "redis_cpu_seconds"):
            found = getattr(together[host_day], name)
            assert found == pytest.approx(getattr(alone, name), rel=1e-12)


def test_what_redis_need_not_have_any_more_is_not_missed(settled: Settling) -> None:
    def reader_at(now: float) -> RedisReader:
        kept = Retention(86_400, 86_400, 10**9, 10**9)
        return RedisReader(port=settled.redis.port, clock=lambda: now, retention=kept)

    with settled.redis.client() as client:
        client.delete(KEY)
    assert proof_of(settled, reader=reader_at(MIDNIGHT + 86_400 + 290)).verdict == "mismatch"
    late = proof_of(settled, reader=reader_at(MIDNIGHT + 86_400 + 300))
    assert late.verdict == "match"
    assert 0 < late.source_cpu_seconds < 2 * 3_200
    with settled.redis.client() as client:
        client.flushall()
    gone = proof_of(settled, reader=reader_at(MIDNIGHT + 2 * 86_400))
    assert (gone.verdict, gone.source_cpu_seconds) == ("match", 0)


def test_a_host_day_that_cannot_be_read_stops_no_other(
    settled: Settling, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(settled.lake.path(AGGREGATES, *WANTED[1])).write_bytes(b"torn")
    read = SecondSource.rows

    def rows(second: SecondSource, hosts: Sequence[str], *span: float) -> Any:
        if "carol" in hosts:
            raise SourceError("carol's rows are of another kind")
        return read(second, hosts, *span)

    monkeypatch.setattr(SecondSource, "rows", rows)
    found = {host_day.host: proof for host_day, proof in proofs_of(settled).found}
    assert {host: proof.verdict for host, proof in found.items()} == {
        "alice": "match",
        "bob": "inconclusive",
        "carol": "inconclusive",
    }
    assert "damaged" in found["bob"].why
    assert found["carol"].why == "carol's rows are of another kind"


def test_an_outage_is_no_verdict(settled: Settling, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise SourceOutageError("gone")

    monkeypatch.setattr(SecondSource, "rows", gone)
    with pytest.raises(SourceOutageError):
        proofs_of(settled)


def test_a_host_day_without_a_file_is_compared_without_its_ledger(settled: Settling) -> None:
    for dataset in (RAW_ROWS, AGGREGATES):
        Path(settled.lake.path(dataset, *ALICE)).unlink()
    assert proof_of(settled).verdict == "match"
    settled.load_more("alice")
    assert proof_of(settled).verdict == "mismatch"
