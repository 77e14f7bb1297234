"""Following a log from outside: what is taken, evidence of two histories, and the C2SP witness."""
