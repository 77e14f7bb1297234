"""How institutions begin a ledger and join one."""
