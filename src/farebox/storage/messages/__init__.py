"""Messages to destinations: the lines in which they wait, what came of each attempt, and when nothing is sent."""
