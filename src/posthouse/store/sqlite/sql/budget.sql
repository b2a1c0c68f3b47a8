-- Use of limits. Slots are seconds since 1970; use in a slot counts until the slot's end plus the window.

-- name: used
SELECT coalesce(sum(used), 0) FROM budget
WHERE account = :account AND what = :what AND window = :window AND slot > :before

-- name: slots
SELECT slot, used FROM budget
WHERE account = :account AND what = :what AND window = :window AND slot > :before ORDER BY slot

-- name: add
INSERT INTO budget (account, what, window, slot, used) VALUES (:account, :what, :window, :slot, :amount)
ON CONFLICT (account, what, window, slot) DO UPDATE SET used = used + excluded.used

-- name: take_back
UPDATE budget SET used = max(0, used - :amount)
WHERE account = :account AND what = :what AND window = :window AND slot = :slot

-- name: uses
SELECT json_group_array(json_array(account, what, window, slot, used)) FROM budget
WHERE used > 0 AND slot > :now - window - max(1, window / 144)

-- name: forget
DELETE FROM budget WHERE slot + window < :before

-- name: save_pause
INSERT OR REPLACE INTO pause (account, since, until, reason, reply) VALUES (:account, :since, :until, :reason, :reply)

-- name: remove_pause
DELETE FROM pause WHERE account = :account

-- name: pauses
SELECT json_group_array(json_array(account, since, until, reason, reply)) FROM pause
