-- Multi-row statements of the hot path; {rows} becomes as many "(?, ...)" as there are rows.

-- name: insert_messages
INSERT INTO message (
    id, segment, received_at, expires_at, sender, subject, header_id, header_hash, listener, principal, recipients,
    size_octets, parent, facts
) VALUES {rows}

-- name: insert_contents
INSERT INTO content (message_id, data) VALUES {rows}

-- name: insert_spooled
INSERT INTO spooled (message_id, file, size_octets, sha256, prefix) VALUES {rows}

-- name: insert_copies
INSERT INTO copy (
    message_id, position, segment, recipient, state, hop, next_at, expires_at, owner, lease_until, changed_at
) VALUES {rows}

-- name: insert_journal
INSERT INTO journal (message_id, at, events) VALUES {rows}

-- name: settle_copies
-- Columns: message_id, position, state, next_at, hop, status, last_reply, attempts, delay_noticed, changed_at, remote,
-- connector. A final state stays, except that a delivery that really happened is always written down (state 11).
-- An attempt (attempts = 1) that ends in a deferral does not lift a hold (3) or an unknown outcome (4).
UPDATE copy SET
    state = CASE WHEN new.column3 = 1 AND new.column8 = 1 AND copy.state IN (3, 4)
        THEN copy.state ELSE new.column3 END,
    next_at = coalesce(new.column4, copy.next_at),
    hop = coalesce(new.column5, copy.hop),
    owner = '',
    lease_until = NULL,
    status = new.column6,
    last_reply = new.column7,
    attempts = copy.attempts + new.column8,
    delay_noticed = max(copy.delay_noticed, new.column9),
    changed_at = coalesce(new.column10, copy.changed_at),
    remote = coalesce(nullif(new.column11, ''), copy.remote),
    connector = coalesce(nullif(new.column12, ''), copy.connector)
FROM (VALUES {rows}) AS new
WHERE copy.message_id = new.column1 AND copy.position = new.column2
    AND (copy.state < 10 OR (new.column3 = 11 AND copy.state <> 11))

-- name: states_of
-- States of copies in a JSON list [[message id, position], ...].
SELECT json_group_array(json_array(copy.message_id, copy.position, copy.state))
FROM json_each(:copies) AS wanted
JOIN copy ON copy.message_id = wanted.value ->> 0 AND copy.position = wanted.value ->> 1
