"""From the broker's socket to committed rows: parse, verify, commit, acknowledge, sign a receipt."""
