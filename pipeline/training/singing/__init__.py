"""A synthetic singer, so that singing too has notes that are known exactly."""
