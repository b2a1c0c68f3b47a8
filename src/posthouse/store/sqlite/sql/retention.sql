-- What goes when its time is over. A message is settled when no copy of it is open.

-- name: settled_contents
SELECT json_group_array(message_id) FROM (
    SELECT k.message_id FROM (
        SELECT message_id FROM content WHERE message_id <= :highest
        UNION ALL
        SELECT message_id FROM spooled WHERE message_id <= :highest
        ORDER BY message_id
    ) AS k
    WHERE NOT EXISTS (
        SELECT 1 FROM copy WHERE copy.message_id = k.message_id AND (state < 10 OR changed_at >= :before)
    )
    LIMIT :limit
)

-- name: settled_messages
SELECT json_group_array(id) FROM (
    SELECT m.id FROM message AS m
    WHERE m.id <= :highest AND m.received_at < :before AND NOT EXISTS (
        SELECT 1 FROM copy WHERE copy.message_id = m.id AND (state < 10 OR changed_at >= :before)
    )
    ORDER BY m.id LIMIT :limit
)

-- name: old_door_rows
SELECT json_group_array(number) FROM (
    SELECT number FROM journal
    WHERE message_id IS NULL AND at < :before AND number < (SELECT max(number) FROM journal)
    ORDER BY at LIMIT :limit
)

-- name: files_of
SELECT json_group_array(file) FROM spooled WHERE message_id IN (SELECT value FROM json_each(:ids))

-- name: files_still_named
SELECT json_group_array(file) FROM spooled WHERE file IN (SELECT value FROM json_each(:files))

-- name: delete_contents
DELETE FROM content WHERE message_id IN (SELECT value FROM json_each(:ids))

-- name: delete_spooled
DELETE FROM spooled WHERE message_id IN (SELECT value FROM json_each(:ids))

-- name: delete_journal
-- The newest row stays, so that a number is never given twice.
DELETE FROM journal
WHERE message_id IN (SELECT value FROM json_each(:ids)) AND number < (SELECT max(number) FROM journal)

-- name: delete_copies
DELETE FROM copy WHERE message_id IN (SELECT value FROM json_each(:ids))

-- name: delete_messages
DELETE FROM message WHERE id IN (SELECT value FROM json_each(:ids))

-- name: delete_door_rows
DELETE FROM journal WHERE number IN (SELECT value FROM json_each(:numbers))

-- name: delete_empty_segments
DELETE FROM segment
WHERE number < (SELECT min(segment) FROM message WHERE segment > 0)

-- name: is_named
SELECT EXISTS (SELECT 1 FROM spooled WHERE file = :file)
