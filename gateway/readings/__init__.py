"""What the stored readings say about a meter now."""
