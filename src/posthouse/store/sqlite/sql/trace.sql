-- Search and stories. Masks: bit N of :states stands for state number N.

-- name: trace_columns
SELECT c.message_id, c.position, m.received_at, m.sender, c.recipient, m.subject, c.state,
    m.facts ->> '$[7][2]' AS peer_ip, c.remote, m.size_octets, m.header_id, m.principal, c.connector, c.hop,
    c.last_reply

-- name: trace_json
json_group_array(json_array(
    message_id, position, received_at, sender, recipient, subject, state, peer_ip, remote, size_octets, header_id,
    principal, connector, hop, last_reply
))

-- name: sender_text
substr(m.sender, instr(m.sender, '@') + 1) || '@' || substr(m.sender, 1, instr(m.sender, '@') - 1)

-- name: recipient_text
substr(c.recipient, instr(c.recipient, '@') + 1) || '@' || substr(c.recipient, 1, instr(c.recipient, '@') - 1)

-- name: copy_filter
    c.message_id BETWEEN :lowest AND :highest
    AND (c.message_id < :before_id OR c.position < :before_position)
    AND (:states >> c.state) & 1
    AND (:recipient IS NULL OR c.recipient BETWEEN :recipient AND :recipient_end)
    AND (:recipient_like IS NULL OR ({recipient_text}) LIKE :recipient_like ESCAPE '\')

-- name: message_filter
    m.received_at BETWEEN :since AND :until
    AND (:sender IS NULL OR m.sender BETWEEN :sender AND :sender_end)
    AND (:sender_like IS NULL OR ({sender_text}) LIKE :sender_like ESCAPE '\')
    AND (:subject IS NULL OR m.subject GLOB :subject)
    AND (:header_id IS NULL OR m.header_id = :header_id OR m.id = :own_id)
    AND (:connector IS NULL OR m.listener = :connector
        OR substr(m.principal, instr(m.principal, ':') + 1) = :connector OR c.connector = :connector
        OR c.hop = :connector OR c.hop BETWEEN :connector || '/' AND :connector || '/' || char(1114111))

-- name: newest_first
ORDER BY c.message_id DESC, c.position DESC LIMIT :limit

-- name: search_all
SELECT {trace_json} FROM (
    {trace_columns}
    FROM copy AS c NOT INDEXED CROSS JOIN message AS m ON m.id = c.message_id
    WHERE {copy_filter} AND {message_filter} {newest_first}
)

-- name: search_one
SELECT {trace_json} FROM (
    {trace_columns}
    FROM message AS m JOIN copy AS c ON c.message_id = m.id
    WHERE m.id = :own_id AND {copy_filter} AND {message_filter} {newest_first}
)

-- name: search_by_recipient
SELECT {trace_json} FROM (
    {trace_columns}
    FROM json_each(:segments) AS s
    CROSS JOIN copy AS c INDEXED BY copy_recipient
        ON c.segment = s.value AND c.recipient BETWEEN :recipient AND :recipient_end
    CROSS JOIN message AS m ON m.id = c.message_id
    WHERE {copy_filter} AND {message_filter} {newest_first}
)

-- name: search_by_sender
SELECT {trace_json} FROM (
    {trace_columns}
    FROM json_each(:segments) AS s
    CROSS JOIN message AS m INDEXED BY message_sender
        ON m.segment = s.value AND m.sender BETWEEN :sender AND :sender_end
    CROSS JOIN copy AS c ON c.message_id = m.id
    WHERE {copy_filter} AND {message_filter} {newest_first}
)

-- name: search_by_header
SELECT {trace_json} FROM (
    {trace_columns}
    FROM json_each(:segments) AS s
    CROSS JOIN message AS m INDEXED BY message_header ON m.segment = s.value AND m.header_hash = :header_hash
    CROSS JOIN copy AS c ON c.message_id = m.id
    WHERE {copy_filter} AND {message_filter} {newest_first}
)

-- name: seen_before
SELECT count(*) FROM json_each(:segments) AS s
CROSS JOIN message AS m INDEXED BY message_header ON m.segment = s.value AND m.header_hash = :header_hash
WHERE m.header_id = :header_id AND m.received_at >= :since

-- name: story_message
SELECT m.id, m.received_at, m.expires_at, m.sender, m.subject, m.header_id, m.parent, m.facts, m.size_octets,
    EXISTS (SELECT 1 FROM content WHERE message_id = m.id) OR EXISTS (SELECT 1 FROM spooled WHERE message_id = m.id)
FROM message AS m WHERE m.id = :id

-- name: story_rows
SELECT {trace_json} FROM (
    {trace_columns} FROM message AS m JOIN copy AS c ON c.message_id = m.id WHERE m.id = :id
)

-- name: story_events
SELECT json_group_array(json_array(number, message_id, events)) FROM (
    SELECT number, message_id, events FROM journal WHERE message_id = :id ORDER BY number
)

-- name: story_notices
SELECT json_group_array(id) FROM (SELECT id FROM message WHERE parent = :id ORDER BY id)

-- name: door_events
SELECT json_group_array(json_array(number, message_id, events)) FROM (
    SELECT number, message_id, events FROM journal
    WHERE message_id IS NULL AND at >= :since ORDER BY at DESC, number DESC LIMIT :limit
)

-- name: journal_after
SELECT json_group_array(json_array(number, message_id, events)) FROM (
    SELECT number, message_id, events FROM journal WHERE number >= :number ORDER BY number LIMIT :limit
)
