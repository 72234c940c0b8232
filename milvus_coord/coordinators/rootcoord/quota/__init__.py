"""The quota center."""
