"""A small model of the election, searched exhaustively: see docs/model.md."""
