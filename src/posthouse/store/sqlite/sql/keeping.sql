-- Accounts, flow revisions, secrets.

-- name: accounts
SELECT name, password_hash, senders, disabled, scram, sealed_cram_secret, created_at, last_used_at
FROM account ORDER BY name

-- name: account
SELECT name, password_hash, senders, disabled, scram, sealed_cram_secret, created_at, last_used_at
FROM account WHERE name = :name

-- name: app_passwords
SELECT account, id, label, hash, created_at, last_used_at FROM app_password
WHERE :name IS NULL OR account = :name ORDER BY id

-- name: save_account
INSERT INTO account (name, password_hash, senders, disabled, scram, sealed_cram_secret, created_at, last_used_at)
VALUES (:name, :password_hash, :senders, :disabled, :scram, :sealed_cram_secret, :created_at, :last_used_at)
ON CONFLICT (name) DO UPDATE SET
    password_hash = excluded.password_hash,
    senders = excluded.senders,
    disabled = excluded.disabled,
    scram = excluded.scram,
    sealed_cram_secret = excluded.sealed_cram_secret,
    last_used_at = coalesce(excluded.last_used_at, account.last_used_at)

-- name: remove_account
DELETE FROM account WHERE name = :name

-- name: remove_app_passwords
DELETE FROM app_password WHERE account = :name

-- name: add_app_password
INSERT INTO app_password (account, label, hash, created_at) VALUES (:account, :label, :hash, :at)

-- name: remove_app_password
DELETE FROM app_password WHERE account = :account AND label = :label

-- name: account_used
UPDATE account SET last_used_at = max(coalesce(last_used_at, 0), :at) WHERE name = :name

-- name: app_password_used
UPDATE app_password SET last_used_at = max(coalesce(last_used_at, 0), :at) WHERE id = :id AND account = :name

-- name: save_flow
INSERT INTO flow (at, by, comment, text) VALUES (:at, :by, :comment, :text)

-- name: newest_flow
SELECT number, at, by, comment, text FROM flow ORDER BY number DESC LIMIT :limit

-- name: flow
SELECT number, at, by, comment, text FROM flow WHERE number = :number

-- name: save_secret
INSERT INTO secret (name, sealed, changed_at) VALUES (:name, :sealed, :at)
ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed, changed_at = excluded.changed_at

-- name: secret
SELECT sealed FROM secret WHERE name = :name

-- name: secret_names
SELECT name, changed_at FROM secret ORDER BY name

-- name: remove_secret
DELETE FROM secret WHERE name = :name
