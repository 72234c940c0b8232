"""Faults against a pair of rootcoords, again and again: how long a client waits, and is it safe."""
