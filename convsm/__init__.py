"""convsm."""
