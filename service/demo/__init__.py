"""``make demo``: a real service, a real song, the whole way over HTTP, and what came of it."""
