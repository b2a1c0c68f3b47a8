-- Accounts, flow revisions and sealed secrets.

CREATE TABLE account (
    name TEXT PRIMARY KEY COLLATE NOCASE,
    password_hash TEXT NOT NULL,
    senders TEXT NOT NULL,
    disabled INTEGER NOT NULL,
    scram TEXT NOT NULL,
    sealed_cram_secret BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER
) STRICT;

CREATE TABLE app_password (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL COLLATE NOCASE,
    label TEXT NOT NULL,
    hash TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER,
    UNIQUE (account, label)
) STRICT;

CREATE TABLE flow (
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    by TEXT NOT NULL,
    comment TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;

CREATE TABLE secret (
    name TEXT PRIMARY KEY,
    sealed BLOB NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT;
