-- The waiting lines. States: 1 pending, 2 leased, 3 held, 4 unknown; "state < 10" lets the index copy_open serve.

-- name: message_columns
m.id, m.received_at, m.expires_at, m.sender, m.subject, m.header_id, m.parent, m.facts

-- name: due_messages
SELECT json_group_array(message_id) FROM (
    SELECT DISTINCT message_id FROM copy
    WHERE state = 1 AND state < 10 AND hop = :hop AND next_at <= :now
    ORDER BY next_at LIMIT :limit
)

-- name: due_in_turns
-- A sender is a device, by its address, under the name that it gives; $[7][2] of a message's facts is that address.
SELECT json_group_array(json_array(message_id, who)) FROM (
    SELECT message_id, who FROM (
        SELECT message_id, who, row_number() OVER (PARTITION BY who ORDER BY due_at, message_id) AS turn FROM (
            SELECT c.message_id, min(c.next_at) AS due_at,
                m.principal || ' ' || (m.facts ->> '$[7][2]') || ' ' || m.sender AS who
            FROM copy c JOIN message m ON m.id = c.message_id
            WHERE c.state = 1 AND c.state < 10 AND c.hop = :hop AND c.next_at <= :now
            GROUP BY c.message_id
        )
    )
    ORDER BY turn, who <= :last, who LIMIT :limit
)

-- name: due_copies
SELECT json_group_array(json_array(message_id, position, hop, attempts, delay_noticed))
FROM copy
WHERE message_id IN (SELECT value FROM json_each(:ids)) AND state = 1 AND hop = :hop AND next_at <= :now

-- name: expired_messages
SELECT json_group_array(message_id) FROM (
    SELECT DISTINCT message_id FROM copy WHERE state = 1 AND state < 10 AND expires_at <= :now
    ORDER BY message_id LIMIT :limit
)

-- name: expired_copies
SELECT json_group_array(json_array(message_id, position, hop, attempts, delay_noticed))
FROM copy
WHERE message_id IN (SELECT value FROM json_each(:ids)) AND state = 1 AND expires_at <= :now

-- name: undelayed_messages
SELECT json_group_array(message_id) FROM (
    SELECT DISTINCT o.message_id FROM copy AS o JOIN message AS m ON m.id = o.message_id
    WHERE o.state = 1 AND o.state < 10 AND o.delay_noticed = 0 AND o.expires_at > :now
        AND o.message_id <= :highest AND m.received_at < :before
    ORDER BY 1 LIMIT :limit
)

-- name: undelayed_copies
SELECT json_group_array(json_array(message_id, position, hop, attempts, delay_noticed))
FROM copy
WHERE message_id IN (SELECT value FROM json_each(:ids)) AND state = 1 AND delay_noticed = 0 AND expires_at > :now

-- name: lease_copies
-- Pending copies of a JSON list [[message id, position, ...], ...].
UPDATE copy SET state = 2, owner = :owner, lease_until = :until
FROM json_each(:copies) AS taken
WHERE copy.message_id = taken.value ->> 0 AND copy.position = taken.value ->> 1 AND copy.state = 1

-- name: messages
SELECT json_group_array(json_array({message_columns}, s.file, s.size_octets, hex(s.sha256), hex(s.prefix)))
FROM message AS m LEFT JOIN spooled AS s ON s.message_id = m.id
WHERE m.id IN (SELECT value FROM json_each(:ids))

-- name: expired_leases
SELECT json_group_array(json_array(message_id, position)) FROM copy
WHERE state = 2 AND state < 10 AND lease_until <= :now

-- name: owned_leases
SELECT json_group_array(json_array(message_id, position)) FROM copy
WHERE state = 2 AND state < 10 AND owner = :owner

-- name: record_returns
INSERT INTO journal (message_id, at, events)
SELECT copy.message_id, :now, json_group_array(json_array(:now, :kind, copy.position, json_object('owner', copy.owner)))
FROM json_each(:copies) AS lost
JOIN copy ON copy.message_id = lost.value ->> 0 AND copy.position = lost.value ->> 1
GROUP BY copy.message_id, copy.position / 1000

-- name: renew_leases
UPDATE copy SET lease_until = :until
WHERE message_id IN (SELECT value FROM json_each(:ids)) AND state = 2 AND owner = :owner AND lease_until < :below

-- name: return_leases
UPDATE copy SET state = 1, next_at = :now, owner = '', lease_until = NULL
FROM json_each(:copies) AS lost
WHERE copy.message_id = lost.value ->> 0 AND copy.position = lost.value ->> 1 AND copy.state = 2

-- name: pending_hops
-- One row for each waiting line with pending copies, found by skipping from line to line in the index.
WITH RECURSIVE line (hop) AS (
    SELECT min(hop) FROM copy WHERE state = 1 AND state < 10
    UNION ALL
    SELECT (SELECT min(hop) FROM copy WHERE state = 1 AND state < 10 AND hop > line.hop)
    FROM line WHERE line.hop IS NOT NULL
)
SELECT hop FROM line WHERE hop IS NOT NULL

-- name: due
SELECT json_group_array(json_array(hop, due)) FROM (
    SELECT line.hop, (
        SELECT count(*) FROM (
            SELECT 1 FROM copy
            WHERE state = 1 AND state < 10 AND copy.hop = line.hop AND next_at <= :now LIMIT :most
        )
    ) AS due
    FROM ({pending_hops}) AS line
) WHERE due > 0

-- name: next_due
SELECT min((SELECT min(next_at) FROM copy WHERE state = 1 AND state < 10 AND copy.hop = line.hop))
FROM ({pending_hops}) AS line

-- name: rename_hops
-- A JSON list [[message id, position, hop], ...].
UPDATE copy SET hop = moved.value ->> 2
FROM json_each(:changes) AS moved
WHERE copy.message_id = moved.value ->> 0 AND copy.position = moved.value ->> 1 AND copy.state IN (1, 3)

-- name: pending_page
SELECT json_group_array(json_array(message_id, position, hop, attempts, delay_noticed)) FROM (
    SELECT message_id, position, hop, attempts, delay_noticed FROM copy NOT INDEXED
    WHERE state IN (1, 3) AND (message_id, position) > (:after_id, :after_position)
    ORDER BY message_id, position LIMIT :limit
)

-- name: open_count
SELECT count(*) FROM copy WHERE state < 10

-- name: entry_filter
    (:ids IS NULL OR c.message_id IN (SELECT value FROM json_each(:ids)))
    AND (:sender IS NULL OR m.sender BETWEEN :sender AND :sender_end)
    AND (:recipient IS NULL OR c.recipient BETWEEN :recipient AND :recipient_end)
    AND (:hop IS NULL OR c.hop = :hop OR c.hop BETWEEN :hop || '/' AND :hop || '/' || char(1114111))

-- name: entry_columns
SELECT c.message_id, c.position, m.sender, c.recipient, m.subject, m.size_octets, m.received_at, m.expires_at,
    c.state, c.hop, c.next_at, c.attempts, c.last_reply

-- name: open_entries
SELECT json_group_array(json_array(
    message_id, position, sender, recipient, subject, size_octets, received_at, expires_at, state, hop, next_at,
    attempts, last_reply
)) FROM (
    {entry_columns}
    FROM copy AS c JOIN message AS m ON m.id = c.message_id
    WHERE c.state < 10 AND c.state IN (SELECT value FROM json_each(:states)) AND {entry_filter}
    ORDER BY c.message_id, c.position LIMIT :limit
)

-- name: all_entries
SELECT json_group_array(json_array(
    message_id, position, sender, recipient, subject, size_octets, received_at, expires_at, state, hop, next_at,
    attempts, last_reply
)) FROM (
    {entry_columns}
    FROM copy AS c JOIN message AS m ON m.id = c.message_id
    WHERE c.state IN (SELECT value FROM json_each(:states)) AND {entry_filter}
    ORDER BY c.message_id, c.position LIMIT :limit
)

-- name: hop_counts
SELECT json_group_array(json_array(hop, state, copies, next_at, received_at)) FROM (
    SELECT hop, state, count(*) AS copies, min(next_at) AS next_at, min(message_id) AS oldest
    FROM copy WHERE state < 10 GROUP BY hop, state
) JOIN message ON id = oldest

-- name: hop_replies
-- SQLite gives the bare column of the row that holds the maximum.
SELECT json_group_array(json_array(hop, last_reply)) FROM (
    SELECT hop, last_reply, max(changed_at) FROM copy WHERE state < 10 AND last_reply <> '' GROUP BY hop
)

-- name: content
SELECT data FROM content WHERE message_id = :id

-- name: spooled
SELECT file, size_octets, sha256, prefix FROM spooled WHERE message_id = :id

-- name: recipients_since
SELECT json_group_array(json_array(principal, recipients)) FROM (
    SELECT principal, sum(recipients) AS recipients FROM message
    WHERE id >= :lowest AND received_at >= :since AND principal <> '' GROUP BY principal
)
