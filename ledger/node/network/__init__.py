"""The other institutions' nodes: links to them, what the frames carry, and how each of them behaves."""
