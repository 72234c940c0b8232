"""What RootCoord does to the world."""
