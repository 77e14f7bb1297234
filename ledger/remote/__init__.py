"""The ways to ask nodes over the network: any of them will do."""
