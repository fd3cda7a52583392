"""Raw documents to shards: read, clean, deduplicate, tokenise, write."""
