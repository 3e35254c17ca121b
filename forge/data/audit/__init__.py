"""The audit: what a folder of documents holds, how clean it is, and what it can train."""
