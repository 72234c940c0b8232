"""What the RPCs of every role share."""
