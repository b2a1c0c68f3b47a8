"""The SMTP hosts: the dialogues of `smtp.office365.com:587` and of `*.mail.protection.outlook.com:25`.

`session` is the whole dialogue as a machine that gets bytes and gives bytes; it asks a desk (a port) whenever
something must be decided. `commands` reads command lines, `sasl` reads credentials, `content` takes the message
in, by DATA or BDAT. `tls`, `client_certificate` and `connection` are the thin part that meets the network; `server`
listens.
"""
