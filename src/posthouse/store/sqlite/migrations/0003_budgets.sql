-- Use of limits: what was taken in which slot of time. A limit's window is the sum of its slots.
CREATE TABLE budget (
    account TEXT NOT NULL,
    what TEXT NOT NULL,
    window INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    used INTEGER NOT NULL,
    PRIMARY KEY (account, what, window, slot)
) STRICT, WITHOUT ROWID;

-- Accounts that rest: a refused log-in must not be tried again after a restart either.
CREATE TABLE pause (
    account TEXT PRIMARY KEY,
    since INTEGER NOT NULL,
    until INTEGER,
    reason TEXT NOT NULL,
    reply TEXT NOT NULL
) STRICT;
