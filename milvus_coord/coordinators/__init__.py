"""The four coordinator roles."""
