-- Each statement counts what should not be; the name is explained in check.py.

-- name: copies_without_message
SELECT count(*) FROM copy WHERE NOT EXISTS (SELECT 1 FROM message WHERE id = copy.message_id)

-- name: messages_without_copy
SELECT count(*) FROM message WHERE NOT EXISTS (SELECT 1 FROM copy WHERE message_id = message.id)

-- name: contents_without_message
SELECT count(*) FROM (SELECT message_id FROM content UNION ALL SELECT message_id FROM spooled)
WHERE NOT EXISTS (SELECT 1 FROM message WHERE id = message_id)

-- name: open_without_content
SELECT count(DISTINCT message_id) FROM copy
WHERE state < 10
    AND NOT EXISTS (SELECT 1 FROM content WHERE content.message_id = copy.message_id)
    AND NOT EXISTS (SELECT 1 FROM spooled WHERE spooled.message_id = copy.message_id)

-- name: leases_without_end
SELECT count(*) FROM copy WHERE state = 2 AND lease_until IS NULL

-- name: spooled_files
SELECT json_group_array(json_array(file, size_octets)) FROM (SELECT DISTINCT file, size_octets FROM spooled)
