"""What a node tells its operators: status, health, metrics, why it waits, and what it computed."""
