"""Campaign for the active key, hold it, and give it up."""
