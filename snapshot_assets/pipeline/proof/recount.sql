-- The rules of docs/accounting.md once more, in SQL, rule by rule and under their numbers. They are
-- written from the contract's text. Nothing here is taken from the accounting that they check. This
-- file has the rules 1 to 6, from rows to spans; recount_buckets.sql has the others.
--
-- recount.py runs the statements in order, in DuckDB, and sets the variables. The inputs:
--   rows      host, pid, username, comm (codes), t, cpu, rss, etimes; any can be NULL, or no number
--   machines  host (code), t, cores, cpu, memory, used, boot
--   hosts     host (code), capacity: cores of the capacity file, else the default
--   pids      pid (code), positive
--   users     username (code), excluded
-- Seconds everywhere; times since 1970; rss in bytes. A process, for these rules, is what (host, pid,
-- username, comm) names; its slot is (host, pid) and its owner (username, comm). Each is one number,
-- made of the codes, because DuckDB sorts and groups numbers ten times as fast as texts. The
-- variables `pids`, `comms` and `owners` say how many there are of each.

-- 1. Unusable values. An impossible etimes is NULL and counted; a row whose needed values cannot be
-- is rejected and changes nothing but the ledger.
CREATE TEMP VIEW judged AS
SELECT
    *,
    coalesce((etimes < 0 OR etimes > 20 * 365.25 * 86400) AND NOT isnan(etimes), FALSE) AS odd,
    CASE WHEN etimes >= 0 AND etimes <= 20 * 365.25 * 86400 THEN etimes END AS age,
    coalesce(t >= getvariable('window_start') AND t < getvariable('window_end'), FALSE) AS inside,
    coalesce(
        host IS NOT NULL AND username IS NOT NULL AND pid IS NOT NULL
        AND t >= 0 AND isfinite(t) AND cpu >= 0 AND isfinite(cpu) AND rss >= 0 AND isfinite(rss),
        FALSE
    ) AS usable,
    ((host::BIGINT * getvariable('pids') + pid) * getvariable('owners'))
        + username * getvariable('comms') + comm AS process
FROM rows;

CREATE TEMP TABLE tallies AS
SELECT
    host,
    count(*) AS rows,
    count(*) FILTER (inside) AS inside,
    count(*) FILTER (NOT usable) AS rejected,
    count(*) FILTER (NOT usable AND inside) AS rejected_inside,
    count(*) FILTER (usable AND odd AND inside) AS odd_ages,
    max(t) FILTER (NOT isnan(t)) AS newest
FROM judged
GROUP BY host;

CREATE TEMP TABLE usable AS SELECT process, host, t, cpu, rss, age FROM judged WHERE usable;

-- 3. Snapshots. Times at most a pass apart are a cluster; a short one without a repeated process is
-- one snapshot, and in any other each time is one.
CREATE TEMP TABLE clusters AS
WITH
    stamps AS (SELECT DISTINCT host, t FROM usable),
    cuts AS (
        SELECT *, coalesce(t - lag(t) OVER same_host > getvariable('pass'), TRUE) AS cut FROM stamps
        WINDOW same_host AS (PARTITION BY host ORDER BY t)
    )
SELECT host, t, count(*) FILTER (cut) OVER (PARTITION BY host ORDER BY t) AS cluster FROM cuts;

CREATE TEMP TABLE passes AS
WITH
    short AS (
        SELECT host, cluster, max(t) AS last, count(*) AS stamps FROM clusters
        GROUP BY host, cluster
        HAVING stamps > 1 AND max(t) - min(t) <= getvariable('pass_span')
    ),
    repeated AS (
        SELECT DISTINCT host, cluster
        FROM usable JOIN clusters USING (host, t) JOIN short USING (host, cluster)
        GROUP BY host, cluster, process
        HAVING count(DISTINCT t) > 1
    )
SELECT * FROM short ANTI JOIN repeated USING (host, cluster);

-- `number` counts the snapshots, host by host. One speaks for (previous, taken] if it is `covered`.
CREATE TEMP TABLE snapshots AS
WITH every AS (
    SELECT host, coalesce(last, t) AS taken, count(*) AS stamps
    FROM clusters LEFT JOIN passes USING (host, cluster)
    GROUP BY host, taken
)
SELECT
    host, taken, stamps,
    (row_number() OVER (ORDER BY host, taken))::INTEGER AS number,
    lag(taken) OVER (PARTITION BY host ORDER BY taken) AS previous,
    coalesce(taken - previous <= getvariable('max_gap'), FALSE) AS covered
FROM every;

-- The rows in their snapshots, each with the process's row before (its numbers end in 1).
CREATE TEMP TABLE ordered AS
WITH stamps AS (
    SELECT clusters.host, t, number
    FROM clusters
    LEFT JOIN passes USING (host, cluster)
    JOIN snapshots ON snapshots.host = clusters.host AND snapshots.taken = coalesce(last, t)
)
SELECT
    process, number, t, cpu, rss, age,
    lag(number) OVER earlier AS number1, lag(t) OVER earlier AS t1, lag(cpu) OVER earlier AS cpu1,
    lag(age) OVER earlier AS age1
FROM usable JOIN stamps USING (host, t)
WINDOW earlier AS (PARTITION BY process ORDER BY t);

-- 2. Duplicates. Of the rows of a process with one time the largest is kept, whole. Where a process
-- has any, the rows before are looked for again.
CREATE TEMP TABLE repeated AS SELECT DISTINCT process FROM ordered WHERE t1 = t;

CREATE TEMP TABLE again AS
WITH kept AS (
    SELECT * FROM ordered SEMI JOIN repeated USING (process)
    QUALIFY row_number() OVER (
        PARTITION BY process, t ORDER BY cpu DESC, rss DESC, age DESC NULLS LAST
    ) = 1
)
SELECT
    process, number, t, cpu, rss, age,
    lag(number) OVER earlier AS number1, lag(t) OVER earlier AS t1, lag(cpu) OVER earlier AS cpu1,
    lag(age) OVER earlier AS age1
FROM kept
WINDOW earlier AS (PARTITION BY process ORDER BY t);

CREATE TEMP VIEW members AS
SELECT * FROM ordered ANTI JOIN repeated USING (process)
UNION ALL
SELECT * FROM again;

-- 4. Clock offset. By how much more the ages grew than the stamps did, from a snapshot to the next.
CREATE TEMP TABLE offsets AS
WITH
    growths AS (
        SELECT number, age - age1 AS aged, aged - (t - t1) AS growth
        FROM members
        WHERE number1 = number - 1 AND aged IS NOT NULL AND cpu >= cpu1
    ),
    middles AS (
        SELECT
            number, count(*) AS processes, median(growth) AS middle, bool_and(aged = 0) AS stuck
        FROM growths
        GROUP BY number
    ),
    agreements AS (
        SELECT number, count(*) FILTER (abs(growth - middle) <= getvariable('slack')) AS near
        FROM middles JOIN growths USING (number)
        WHERE abs(middle) > getvariable('slack')
        GROUP BY number
    ),
    found AS (
        SELECT number, CASE
            WHEN processes >= 3 AND 2 * near > processes THEN middle
            WHEN processes < 3 AND stuck THEN previous - taken
        END AS d
        FROM middles JOIN snapshots USING (number) LEFT JOIN agreements USING (number)
        WHERE taken - previous <= getvariable('near')
    )
SELECT
    snapshots.*,
    CASE WHEN abs(d) > getvariable('slack') THEN d ELSE 0 END AS d,
    sum(CASE WHEN abs(d) > getvariable('slack') THEN d ELSE 0 END)
        OVER (PARTITION BY host ORDER BY number) AS total
FROM snapshots LEFT JOIN found USING (number);

-- 3., last but one: where a pid is shared. `several`: it is of several processes, then or later.
CREATE TEMP TABLE slots AS
WITH processes AS (SELECT DISTINCT process, process // getvariable('owners') AS slot FROM usable)
SELECT slot, count(*) > 1 AS several, any_value(NOT positive) AS always_shared
FROM processes JOIN pids ON pids.pid = slot % getvariable('pids')
GROUP BY slot
HAVING several OR always_shared;

CREATE TEMP TABLE shared AS
SELECT slot, number
FROM members JOIN slots ON slot = process // getvariable('owners')
GROUP BY slot, number
HAVING count(*) > 1 OR any_value(always_shared);

-- A machine's readings. What a reading does not know is NULL; of those at one time the largest counts.
CREATE TEMP TABLE readings AS
WITH known AS (
    SELECT
        host, t,
        CASE WHEN cpu >= 0 AND isfinite(cpu) THEN cpu END AS cpu,
        CASE WHEN cores > 0 AND isfinite(cores) THEN cores END AS cores,
        CASE WHEN memory >= 0 AND isfinite(memory) THEN memory END AS memory,
        CASE WHEN used >= 0 AND isfinite(used) THEN used END AS used,
        CASE WHEN boot >= 0 AND isfinite(boot) THEN boot END AS boot
    FROM machines
    WHERE host IS NOT NULL AND t >= 0 AND isfinite(t)
)
SELECT * FROM known
QUALIFY row_number() OVER (
    PARTITION BY host, t
    ORDER BY
        cpu DESC NULLS LAST, cores DESC NULLS LAST, memory DESC NULLS LAST, used DESC NULLS LAST,
        boot DESC NULLS LAST
) = 1;

-- cores(host, T): of the machine's latest reading, else of the capacity file, else the default.
CREATE TEMP TABLE sizes AS
WITH known AS (SELECT host, t, cores FROM readings WHERE cores IS NOT NULL)
SELECT
    host, number,
    CASE WHEN taken - known.t <= getvariable('max_gap') THEN known.cores ELSE capacity END AS cores
FROM snapshots
JOIN hosts USING (host)
ASOF LEFT JOIN known ON snapshots.host = known.host AND snapshots.taken >= known.t;

-- 5. and 6. The row before each row, and the span that the row ends. The letters are the contract's.
CREATE TEMP TABLE spans AS
WITH
    of_several AS (
        SELECT members.*, slot, shared.number IS NOT NULL AS is_shared
        FROM members
        JOIN slots ON slot = process // getvariable('owners')
        LEFT JOIN shared USING (slot, number)
        WHERE several
    ),
    by_pid AS (
        SELECT
            *, is_shared OR lag(is_shared) OVER earlier AS own,
            lag(number) OVER earlier AS number2, lag(t) OVER earlier AS t2,
            lag(cpu) OVER earlier AS cpu2, lag(age) OVER earlier AS age2
        FROM of_several
        WINDOW earlier AS (PARTITION BY slot ORDER BY number)
    ),
    befores AS (
        SELECT members.*
        FROM members
        ANTI JOIN (SELECT slot FROM slots WHERE several) AS others
            ON slot = process // getvariable('owners')
        UNION ALL
        SELECT
            process, number, t, cpu, rss, age,
            CASE WHEN own THEN number1 ELSE number2 END,
            CASE WHEN own THEN t1 ELSE t2 END,
            CASE WHEN own THEN cpu1 ELSE cpu2 END,
            CASE WHEN own THEN age1 ELSE age2 END
        FROM by_pid
    ),
    pairs AS (
        SELECT
            befores.*, now.host, now.previous, now.taken, now.covered, cores,
            prior.taken AS taken1,
            cpu - cpu1 AS used,
            t - t1 + now.total - prior.total AS x,
            t - now.previous + now.d AS elapsed
        FROM befores
        JOIN offsets AS now USING (number)
        JOIN sizes USING (number)
        LEFT JOIN offsets AS prior ON prior.number = number1
    ),
    identified AS (
        SELECT
            *,
            coalesce(CASE
                WHEN age IS NULL THEN used >= 0
                WHEN age1 IS NULL THEN age >= x - getvariable('slack') AND used >= 0
                WHEN used < 0 THEN abs(age - age1 - x) <= 2
                ELSE abs(age - age1 - x) <= getvariable('slack')
            END, FALSE) AS same,
            coalesce(taken1 >= taken - getvariable('near'), FALSE) AS near,
            coalesce(elapsed > 0 AND age <= elapsed + getvariable('slack'), FALSE) AS born
        FROM pairs
    ),
    lettered AS (
        SELECT
            *,
            CASE
                WHEN same AND near THEN 'a'
                WHEN covered AND born THEN 'b'
                WHEN getvariable('theta') > 0 AND covered AND NOT near
                    AND cpu >= getvariable('theta')
                    AND cpu - getvariable('theta')
                        <= (taken - previous + getvariable('slack')) * cores THEN 'c'
                WHEN same THEN 'd'
                WHEN born THEN 'e'
            END AS letter
        FROM identified
    ),
    measured AS (
        SELECT
            *,
            CASE
                WHEN letter IN ('a', 'd') THEN taken1
                WHEN letter IN ('b', 'e') THEN greatest(previous, least(t - age, taken - 1))
                WHEN letter = 'c' THEN previous
            END AS since,
            CASE
                WHEN letter IN ('a', 'd') THEN greatest(used, 0)
                WHEN letter IN ('b', 'e') THEN cpu
                WHEN letter = 'c' THEN cpu - getvariable('theta')
            END AS seconds
        FROM lettered
    )
SELECT
    host, process % getvariable('owners') AS owner, number, previous, taken, t, rss, since, seconds,
    excluded,
    CASE
        WHEN letter IS NULL THEN 'first_seen'
        WHEN seconds > (taken - since + getvariable('slack')) * cores THEN 'implausible'
        WHEN letter IN ('d', 'e') OR taken - since > getvariable('max_gap') THEN 'gap'
        ELSE 'attributed'
    END AS class
FROM measured
JOIN users ON username = process % getvariable('owners') // getvariable('comms');
