"""Find out that an active cannot go on."""
