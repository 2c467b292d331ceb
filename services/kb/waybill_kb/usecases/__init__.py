"""What kb does: plain functions within a unit of work that the edge commits."""
