"""Time ticks."""
