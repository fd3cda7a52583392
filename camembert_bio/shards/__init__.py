"""The on-disk format of a tokenised corpus, and its manifest."""
