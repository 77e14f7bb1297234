"""Days of a campus through the real ledger in this process, as fast as it goes: no network, no clock, no randomness.

`ledger` makes blocks, `campus` plays meters and agents over a measured trace, `results` adds up what each user got,
`plot` draws it.
"""
