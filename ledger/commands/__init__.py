"""The commands of `campusgrid ledger`, one file a subject; `ledger.cli` puts them together.

What a command needs is imported when it runs, so that no --help waits for it.
"""
