"""What keeps a gateway healthy when nobody looks."""
