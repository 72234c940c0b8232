"""What every coordinator role is made of; knows no role."""
