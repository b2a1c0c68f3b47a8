"""Mail by Microsoft Graph: sending, and looking into mailboxes and the message trace.

`carrier` sends, `verify` finds out what became of a message whose answer was lost, `returns` reads
reports that came back.
"""
