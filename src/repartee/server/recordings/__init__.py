"""What stays of a session on the disk."""
