"""Session, election, fence, hand-over. Knows no role."""
