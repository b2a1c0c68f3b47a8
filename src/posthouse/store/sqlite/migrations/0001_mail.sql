-- Messages, their copies (one for each recipient), content and journal.
-- Times are microseconds since 1970, UTC. Addresses are kept as domain@local, so that one index serves the full
-- address and the whole domain. States are the numbers of posthouse.store.sqlite.rows.STATE_NUMBERS; below 10 is open.

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

CREATE INDEX message_sender ON message (segment, sender);
CREATE INDEX message_header ON message (segment, header_hash);
CREATE INDEX message_parent ON message (parent) WHERE parent IS NOT NULL;

CREATE TABLE content (
    message_id INTEGER PRIMARY KEY,
    data BLOB NOT NULL
) STRICT;

CREATE TABLE spooled (
    message_id INTEGER PRIMARY KEY,
    file TEXT NOT NULL,
    size_octets INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    prefix BLOB NOT NULL
) STRICT;

CREATE INDEX spooled_file ON spooled (file);

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

CREATE INDEX copy_recipient ON copy (segment, recipient);
CREATE INDEX copy_open ON copy (state, hop, next_at, expires_at, delay_noticed) WHERE state < 10;

-- One row holds the events that one change reported of one message, as JSON; message_id is NULL for the door.
CREATE TABLE journal (
    number INTEGER PRIMARY KEY,
    message_id INTEGER,
    at INTEGER NOT NULL,
    events TEXT NOT NULL
) STRICT;

CREATE INDEX journal_message ON journal (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX journal_door ON journal (at) WHERE message_id IS NULL;

-- Runs of about a thousand messages in the order of acceptance; the range of ids is written when a run is full.
CREATE TABLE segment (
    number INTEGER PRIMARY KEY,
    oldest_id INTEGER,
    newest_id INTEGER
) STRICT;
