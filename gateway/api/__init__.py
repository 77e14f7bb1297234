"""The gateway's HTTP face: JSON for programs, metrics for Prometheus."""
