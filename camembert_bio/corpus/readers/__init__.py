"""One small module a format; `corpus.documents` chooses among them."""
