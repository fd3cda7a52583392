"""One reader a corpus format; each yields Documents."""
