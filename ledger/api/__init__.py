"""The ledger's HTTP interface: `resources` are the shapes that node and client share, `app` serves them."""
