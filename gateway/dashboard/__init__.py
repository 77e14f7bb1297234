"""The pages for people, on the same server as the API."""
