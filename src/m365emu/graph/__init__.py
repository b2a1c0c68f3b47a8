"""Microsoft Graph, as far as mail goes.

A request passes through `service`: it becomes a `Call`, `access` says who is calling, `routes` finds the handler and
the permission it needs, `throttle` counts it against the application and the mailbox, faults on order strike, and the
handler answers with an `Answer` or raises a `GraphError`. Handlers never see HTTP, so a `$batch` is nothing but more
calls.

What is sent is an `item.Item`, whether it came as JSON (`composing`), as MIME, or as a draft with attachments that
were uploaded piece by piece (`drafts`, `uploads`). `sending` judges it as Exchange does and hands it to the one
transport that SMTP uses as well; there, the envelope decides. Here it is made from To, Cc and Bcc, because Graph
knows no other. `messages` and `views` show what lies in the folders, `traces` what the transport did,
`organization` who is who and when an application's credentials end.
"""
