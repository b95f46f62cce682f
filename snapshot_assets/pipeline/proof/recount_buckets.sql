-- The rules of docs/accounting.md from 7 on: from the spans of recount.sql, which runs before, to what
-- is published. The results are the tables buckets, entries, classes and ledgers.

-- 3., covered(b), and 11.: a bucket that no covered time overlaps is in no table from here on.
CREATE TEMP TABLE parts AS
WITH split AS (
    SELECT
        host, number, previous, taken,
        unnest(range(floor(previous / 300)::BIGINT, ceil(taken / 300)::BIGINT)) * 300 AS bucket
    FROM snapshots
    WHERE covered
)
SELECT
    host, number, bucket, taken - previous AS span,
    least(taken, bucket + 300) - greatest(previous, bucket) AS overlap
FROM split
WHERE bucket >= getvariable('window_start') AND bucket < getvariable('window_end');

CREATE TEMP TABLE covers AS
SELECT host, bucket, sum(overlap) AS covered, count(*) AS snapshots FROM parts
GROUP BY host, bucket;

-- 6., last sentences, and 8.: attributed CPU is spread evenly over its span, which mostly is that of
-- the snapshot; memory holds for the span of the snapshot. Both are split at the borders of buckets.
CREATE TEMP TABLE uses AS
WITH
    sums AS (
        SELECT
            number, owner,
            sum(seconds) FILTER (class = 'attributed' AND since = previous) AS seconds,
            sum(rss) FILTER (
                NOT (getvariable('drop_idle') AND class = 'attributed' AND seconds = 0)
            ) AS bytes
        FROM spans
        GROUP BY number, owner
    ),
    others AS (
        SELECT
            host, owner, since, taken, seconds,
            unnest(range(floor(since / 300)::BIGINT, ceil(taken / 300)::BIGINT)) * 300 AS bucket
        FROM spans
        WHERE class = 'attributed' AND seconds > 0 AND since IS DISTINCT FROM previous
    ),
    pieces AS (
        SELECT
            host, bucket, owner, seconds * overlap / span AS seconds, bytes * overlap AS byte_seconds
        FROM sums JOIN parts USING (number)
        WHERE seconds > 0 OR bytes > 0
        UNION ALL
        SELECT
            host, bucket, owner,
            seconds * (least(taken, bucket + 300) - greatest(since, bucket)) / (taken - since), 0
        FROM others
        WHERE bucket >= getvariable('window_start') AND bucket < getvariable('window_end')
    ),
    totals AS (
        SELECT
            host, bucket, owner,
            coalesce(sum(seconds), 0) AS seconds, coalesce(sum(byte_seconds), 0) AS byte_seconds
        FROM pieces
        GROUP BY host, bucket, owner
    )
SELECT totals.*, excluded
FROM totals JOIN users ON username = owner // getvariable('comms');

-- 7., 8. and 9. What a bucket publishes of each user and command.
CREATE TEMP TABLE entries AS
SELECT
    host, bucket,
    (owner // getvariable('comms'))::INTEGER AS username,
    (owner % getvariable('comms'))::INTEGER AS comm,
    seconds / covered AS cpu_norm,
    byte_seconds / covered / 1e9 AS rss_gb
FROM uses JOIN covers USING (host, bucket)
WHERE NOT excluded AND (seconds > 0 OR byte_seconds > 0);

-- 12. Against the kernel. The machine's own busy seconds, between two readings of one boot.
CREATE TEMP TABLE machine_buckets AS
WITH
    steps AS (
        SELECT
            *, lag(t) OVER same_host AS since, cpu - lag(cpu) OVER same_host AS seconds,
            abs(boot - lag(boot) OVER same_host) > 60 AS rebooted
        FROM readings
        WINDOW same_host AS (PARTITION BY host ORDER BY t)
    ),
    split AS (
        SELECT
            *, unnest(range(floor(since / 300)::BIGINT, ceil(t / 300)::BIGINT)) * 300 AS bucket,
            least(t, bucket + 300) - greatest(since, bucket) AS overlap
        FROM steps
        WHERE t - since <= getvariable('max_gap') AND seconds >= 0 AND rebooted IS NOT TRUE
    )
SELECT
    host, bucket,
    sum(overlap) AS covered,
    sum(seconds * overlap / (t - since)) AS seconds,
    sum(used * overlap) / sum(overlap) FILTER (used IS NOT NULL) AS used,
    arg_max_null(cores, t) AS cores,
    arg_max_null(memory, t) AS memory
FROM split
WHERE bucket >= getvariable('window_start') AND bucket < getvariable('window_end')
GROUP BY host, bucket;

-- What a bucket publishes of a host.
CREATE TEMP TABLE buckets AS
WITH totals AS (
    SELECT host, bucket, sum(cpu_norm) AS cpu_norm, sum(rss_gb) AS rss_gb FROM entries
    GROUP BY host, bucket
)
SELECT
    host, bucket, covers.covered, snapshots,
    coalesce(cpu_norm, 0) AS cpu_norm,
    coalesce(rss_gb, 0) AS rss_gb,
    seconds / machine_buckets.covered AS machine_cpu_norm,
    cores AS machine_cores,
    used / 1e9 AS machine_used_gb,
    memory / 1e9 AS machine_gb
FROM covers
LEFT JOIN totals USING (host, bucket)
LEFT JOIN machine_buckets USING (host, bucket);

-- 10. Every row read is in exactly one class; `inside` counts those with a stamp in the window. What
-- is neither rejected nor ends at a snapshot is a duplicate.
CREATE TEMP TABLE classes AS
WITH
    counted AS (
        SELECT
            host, CASE WHEN excluded THEN 'excluded' ELSE class END AS class, count(*) AS rows,
            count(*) FILTER (t >= getvariable('window_start') AND t < getvariable('window_end'))
                AS inside
        FROM spans
        GROUP BY ALL
        UNION ALL
        SELECT host, 'rejected', rejected, rejected_inside FROM tallies
    ),
    known AS (SELECT host, sum(rows) AS rows, sum(inside) AS inside FROM counted GROUP BY host)
SELECT * FROM counted
UNION ALL
SELECT tallies.host, 'duplicate', tallies.rows - known.rows, tallies.inside - known.inside
FROM tallies JOIN known ON tallies.host IS NOT DISTINCT FROM known.host;

CREATE TEMP TABLE ledgers AS
WITH
    used AS (
        SELECT
            host,
            sum(seconds) FILTER (NOT excluded) AS attributed_cpu_seconds,
            sum(seconds) FILTER (excluded) AS excluded_cpu_seconds
        FROM uses
        GROUP BY host
    ),
    unspread AS (
        SELECT
            host,
            sum(seconds) FILTER (class = 'gap') AS gap_cpu_seconds,
            sum(seconds) FILTER (class = 'implausible') AS implausible_cpu_seconds
        FROM spans
        WHERE NOT excluded
            AND t >= getvariable('window_start') AND t < getvariable('window_end')
        GROUP BY host
    ),
    cover AS (
        SELECT host, sum(covered) AS covered_seconds, count(*) AS buckets FROM covers GROUP BY host
    ),
    clocks AS (
        SELECT
            host,
            count(*) FILTER (d != 0) AS clock_offsets,
            count(*) FILTER (stamps > 1) AS stamped_snapshots
        FROM offsets
        WHERE taken >= getvariable('window_start') AND taken < getvariable('window_end')
        GROUP BY host
    ),
    sharing AS (
        SELECT host, count(*) AS shared_pids FROM shared JOIN snapshots USING (number)
        WHERE taken >= getvariable('window_start') AND taken < getvariable('window_end')
        GROUP BY host
    ),
    whole AS (
        SELECT host, bucket, machine_buckets.seconds
        FROM covers JOIN machine_buckets USING (host, bucket)
        WHERE least(covers.covered, machine_buckets.covered) >= 300 - 1e-6
    ),
    kernel AS (SELECT host, sum(seconds) AS machine_cpu_seconds FROM whole GROUP BY host),
    seen AS (
        SELECT host, sum(uses.seconds) AS seen_cpu_seconds
        FROM whole JOIN uses USING (host, bucket)
        GROUP BY host
    )
SELECT
    host,
    coalesce(rows, 0) AS rows_read,
    newest AS newest_epoch,
    coalesce(attributed_cpu_seconds, 0) AS attributed_cpu_seconds,
    coalesce(excluded_cpu_seconds, 0) AS excluded_cpu_seconds,
    coalesce(gap_cpu_seconds, 0) AS gap_cpu_seconds,
    coalesce(implausible_cpu_seconds, 0) AS implausible_cpu_seconds,
    coalesce(covered_seconds, 0) AS covered_seconds,
    coalesce(buckets, 0) AS buckets,
    coalesce(odd_ages, 0) AS odd_ages,
    coalesce(clock_offsets, 0) AS clock_offsets,
    coalesce(shared_pids, 0) AS shared_pids,
    coalesce(stamped_snapshots, 0) AS stamped_snapshots,
    coalesce(machine_cpu_seconds, 0) AS machine_cpu_seconds,
    coalesce(seen_cpu_seconds, 0) AS seen_cpu_seconds
FROM hosts
LEFT JOIN used USING (host)
LEFT JOIN unspread USING (host)
LEFT JOIN cover USING (host)
LEFT JOIN tallies USING (host)
LEFT JOIN clocks USING (host)
LEFT JOIN sharing USING (host)
LEFT JOIN kernel USING (host)
LEFT JOIN seen USING (host);
