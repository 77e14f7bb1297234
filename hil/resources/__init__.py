"""What the rig is made of: traces, virtual meters on serial lines, a broker, child processes."""
