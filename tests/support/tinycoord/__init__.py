"""A fifth role, as small as one can be; see `__main__` for how it comes into the table."""
