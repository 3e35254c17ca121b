"""What the README's figures come from; each prints a table."""
