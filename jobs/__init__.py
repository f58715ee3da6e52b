"""The data plane: what runs on a node."""
