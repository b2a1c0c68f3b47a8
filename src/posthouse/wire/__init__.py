"""How mail looks in bytes: SMTP in both directions, SASL, header fields, notices. Bytes in, values out, and back.

Every protocol here is a machine without I/O in the manner of h11: ``receive_data`` takes octets, ``next_event`` gives
values, ``data_to_send`` gives octets. Sockets, TLS and time belong to ``net``, ``receive`` and ``deliver``.
"""
