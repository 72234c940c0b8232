"""RootCoord's choices: pure, on values alone."""
