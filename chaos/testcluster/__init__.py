"""The embedded cluster: PostgreSQL processes behind an RDS-shaped API and a DNS server.

It is reached as AWS is: over HTTP, DNS and the database port. Its durations are modelled.
"""
