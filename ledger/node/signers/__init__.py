"""Who a node is, the keys it signs with, and what it cosigns."""
