"""What the members of a pair know of each other: records, snapshot, status, history, requests."""
