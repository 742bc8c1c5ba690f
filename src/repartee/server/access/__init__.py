"""Who may come into the server, and how many."""
