"""RootCoord's metadata: state, catalog, mirror, time travel."""
