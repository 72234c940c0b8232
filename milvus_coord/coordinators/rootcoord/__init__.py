"""RootCoord."""
