-- The sum of all migrations. Written by: python -m posthouse.store.sqlite.migrate

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

CREATE TABLE budget (
    account TEXT NOT NULL,
    what TEXT NOT NULL,
    window INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    used INTEGER NOT NULL,
    PRIMARY KEY (account, what, window, slot)
) STRICT, WITHOUT ROWID;

CREATE TABLE content (
    message_id INTEGER PRIMARY KEY,
    data BLOB NOT NULL
) STRICT;

CREATE TABLE copy (
    message_id INTEGER NOT NULL,
    position INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    recipient TEXT NOT NULL COLLATE NOCASE,
    state INTEGER NOT NULL,
    hop TEXT NOT NULL,
    next_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    owner TEXT NOT NULL,
    lease_until INTEGER,
    changed_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    delay_noticed INTEGER NOT NULL DEFAULT 0,
    status TEXT NOT NULL DEFAULT '',
    last_reply TEXT NOT NULL DEFAULT '',
    remote TEXT NOT NULL DEFAULT '',
    connector TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (message_id, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX copy_open ON copy (state, hop, next_at, expires_at, delay_noticed) WHERE state < 10;

CREATE INDEX copy_recipient ON copy (segment, recipient);

CREATE TABLE flow (
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    by TEXT NOT NULL,
    comment TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;

CREATE TABLE journal (
    number INTEGER PRIMARY KEY,
    message_id INTEGER,
    at INTEGER NOT NULL,
    events TEXT NOT NULL
) STRICT;

CREATE INDEX journal_door ON journal (at) WHERE message_id IS NULL;

CREATE INDEX journal_message ON journal (message_id) WHERE message_id IS NOT NULL;

CREATE TABLE message (
    id INTEGER PRIMARY KEY,
    segment INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    sender TEXT NOT NULL COLLATE NOCASE,
    subject TEXT NOT NULL,
    header_id TEXT NOT NULL,
    header_hash INTEGER NOT NULL,
    listener TEXT NOT NULL,
    principal TEXT NOT NULL,
    recipients INTEGER NOT NULL,
    size_octets INTEGER NOT NULL,
    parent INTEGER,
    facts TEXT NOT NULL
) STRICT;

CREATE INDEX message_header ON message (segment, header_hash);

CREATE INDEX message_parent ON message (parent) WHERE parent IS NOT NULL;

CREATE INDEX message_sender ON message (segment, sender);

CREATE TABLE migration (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL
) STRICT;

CREATE TABLE pause (
    account TEXT PRIMARY KEY,
    since INTEGER NOT NULL,
    until INTEGER,
    reason TEXT NOT NULL,
    reply TEXT NOT NULL
) STRICT;

CREATE TABLE secret (
    name TEXT PRIMARY KEY,
    sealed BLOB NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT;

CREATE TABLE segment (
    number INTEGER PRIMARY KEY,
    oldest_id INTEGER,
    newest_id INTEGER
) STRICT;

CREATE TABLE spooled (
    message_id INTEGER PRIMARY KEY,
    file TEXT NOT NULL,
    size_octets INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    prefix BLOB NOT NULL
) STRICT;

CREATE INDEX spooled_file ON spooled (file);
