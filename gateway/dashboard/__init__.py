"""The operator's page, on the same server as the API."""
