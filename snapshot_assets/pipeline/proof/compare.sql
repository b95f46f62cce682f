-- Where what Redis holds differs from the recount. compare.py runs this and sets the variables.
--   documents  host, bucket and a document's numbers, each total as cpu and mem
--   listed     host, bucket, measure (0 is cpu, 1 is mem), username, comm, value: entries of `user`
--   buckets and entries as the recount returns them
-- Texts are codes. In the result, a number that one side does not have is NULL.

-- Documents have 6 decimals, and two sums of the same numbers differ in their last digits.
CREATE TEMP MACRO differ(published, recounted, roundings) AS coalesce(
    abs(published - recounted) > roundings * getvariable('rounding') + 1e-9 * abs(recounted),
    published IS DISTINCT FROM recounted
);

CREATE TEMP TABLE kept AS SELECT * FROM buckets WHERE bucket >= getvariable('kept_from');

-- The entries that documents should list. An entry at the threshold may be on either side of it.
CREATE TEMP TABLE used AS
SELECT host, bucket, 0 AS measure, username, comm, cpu_norm AS value FROM entries
WHERE bucket >= getvariable('kept_from')
    AND cpu_norm > getvariable('cpu_threshold') - getvariable('rounding')
UNION ALL
SELECT host, bucket, 1, username, comm, rss_gb FROM entries
WHERE bucket >= getvariable('kept_from')
    AND rss_gb > getvariable('mem_threshold') - getvariable('rounding');

-- Buckets that only one side has.
CREATE TEMP TABLE differences AS
SELECT
    host, bucket, 'document' AS what, NULL::INTEGER AS username, NULL::INTEGER AS comm,
    coverage AS published, covered / 300 AS recounted
FROM documents FULL JOIN kept USING (host, bucket)
WHERE coverage IS NULL OR covered IS NULL;

-- The numbers of a document, but for its entries.
INSERT INTO differences
WITH
    pairs AS (SELECT * FROM documents JOIN kept USING (host, bucket)),
    numbers AS (
        SELECT host, bucket, 'coverage' AS what, coverage AS published, covered / 300 AS recounted
        FROM pairs
        UNION ALL
        SELECT host, bucket, 'snapshots', documented_snapshots, snapshots FROM pairs
        UNION ALL SELECT host, bucket, 'cpu', cpu, cpu_norm FROM pairs
        UNION ALL SELECT host, bucket, 'mem', mem, rss_gb FROM pairs
        UNION ALL SELECT host, bucket, 'machine cpu', machine_cpu, machine_cpu_norm FROM pairs
        UNION ALL SELECT host, bucket, 'machine cores', cores, machine_cores FROM pairs
        UNION ALL SELECT host, bucket, 'machine used', machine_used, machine_used_gb FROM pairs
        UNION ALL SELECT host, bucket, 'machine total', machine_total, machine_gb FROM pairs
    )
SELECT host, bucket, what, NULL, NULL, published, recounted FROM numbers
WHERE differ(published, recounted, 1);

-- The entries of a document, and those that it lacks or should not have.
INSERT INTO differences
WITH
    pairs AS (
        SELECT
            host, bucket, measure, username, comm,
            listed.value AS published, used.value AS recounted,
            CASE measure WHEN 0 THEN getvariable('cpu_threshold')
                ELSE getvariable('mem_threshold') END AS threshold
        FROM listed FULL JOIN used USING (host, bucket, measure, username, comm)
        SEMI JOIN documents USING (host, bucket)
        SEMI JOIN kept USING (host, bucket)
    )
SELECT
    host, bucket, ['cpu', 'mem'][measure + 1], username, comm, published,
    coalesce(recounted, CASE measure WHEN 0 THEN cpu_norm ELSE rss_gb END)
FROM pairs LEFT JOIN entries USING (host, bucket, username, comm)
WHERE CASE
    WHEN published IS NULL THEN recounted > threshold AND differ(threshold, recounted, 1)
    ELSE differ(published, recounted, 1)
END;

-- `other` is the rounded total less the rounded entries.
INSERT INTO differences
WITH
    sums AS (
        SELECT host, bucket, measure, count(*) AS entries, sum(coalesce(used.value, 0)) AS value
        FROM listed LEFT JOIN used USING (host, bucket, measure, username, comm)
        GROUP BY host, bucket, measure
    ),
    others AS (
        SELECT host, bucket, 0 AS measure, cpu_other AS published, cpu_norm AS total
        FROM documents JOIN kept USING (host, bucket)
        UNION ALL
        SELECT host, bucket, 1, mem_other, rss_gb
        FROM documents JOIN kept USING (host, bucket)
    ),
    pairs AS (
        SELECT *, total - coalesce(value, 0) AS recounted, coalesce(entries, 0) + 1 AS roundings
        FROM others LEFT JOIN sums USING (host, bucket, measure)
    )
SELECT host, bucket, ['cpu other', 'mem other'][measure + 1], NULL, NULL, published, recounted FROM pairs
WHERE differ(published, recounted, roundings);
