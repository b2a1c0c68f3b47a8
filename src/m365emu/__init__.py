"""The offline Microsoft 365: what a mail program meets when it sends through the cloud, on one machine.

It speaks as `smtp.office365.com:587`, as the MX of a tenant, as the token endpoint of Entra and as Graph, keeps what
it accepts in the inboxes of an invented tenant, and shows them over plain HTTP. It is written from observed dialogues
and public documentation, and shares no code with the relay that is tested against it: a fault in one is not repeated
in the other.

How a message travels: `smtp.connection` moves bytes and TLS, `smtp.session` is the dialogue without any I/O,
`logon` decides who is speaking, `submission` decides at the end of DATA, `exchanger` decides where nobody logs on.
Behind both, and behind `graph`, `post` delivers: `categorizer` says who gets a message, `ndr` tells the sender who
does not, `mailbox` keeps. What the tenant is, with its switches and limits, is data: `tenant` reads it from
`tenant.toml`, and it can be changed while the emulator runs. `entra` hands out tokens, `web` shows and controls,
`emulator` puts all of it together. Time is handed in (`clock`), so a test can move it.
"""
