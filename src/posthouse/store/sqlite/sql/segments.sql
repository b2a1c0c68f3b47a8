-- name: claim_segment
INSERT INTO segment (number)
SELECT 1 + max(coalesce((SELECT max(number) FROM segment), 0), coalesce((SELECT max(segment) FROM message), 0))

-- name: seal_segment
UPDATE segment
SET (oldest_id, newest_id) = (SELECT min(id), max(id) FROM message WHERE message.segment = segment.number)
WHERE number = :number

-- name: segments_between
-- Segments that may hold ids of a range, newest first, as JSON [[number, newest id], ...].
SELECT json_group_array(json_array(number, newest_id)) FROM (
    SELECT number, coalesce(newest_id, 9223372036854775807) AS newest_id FROM segment
    WHERE newest_id IS NULL OR (newest_id >= :lowest AND oldest_id <= :highest)
    UNION ALL SELECT 0, 9223372036854775807
    ORDER BY 2 DESC
)
