"""What exists before the first reading: tools, keys, rosters, brokers, images."""
