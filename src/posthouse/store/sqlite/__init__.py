"""The embedded store: one SQLite file in WAL mode, one writer, group commit, a spool for large messages.

How a change travels: `store.SqliteStore` turns values into rows on the event loop (``rows``) and puts a job into the
writer's mailbox. The writer thread (``writer``) takes everything that waits, writes it with a handful of multi-row
statements in one transaction, and resolves all futures of the batch with one call into the loop, after COMMIT has
synced the log. A batch that fails is rolled back and run job by job, so that only the job at fault suffers.

How a question travels: scans and joins run in reader threads (``reader``), each with its own connection; the few
look-ups that a login needs run on the loop. ``checkpoint`` moves the log into the database beside the writer.

SQL stands in ``sql/`` as named statements; ``migrations/`` builds the schema, and ``schema.sql`` is what they add up
to. Two ideas carry the speed: few statements a batch, because each one gives up and wins back the interpreter lock;
and search indexes that begin with a segment number (``segments``), so that a batch dirties few pages of them.
"""
