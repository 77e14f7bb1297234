"""Who may see and do what: people, sessions, API keys, roles, and the log of every write."""
