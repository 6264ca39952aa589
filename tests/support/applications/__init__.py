"""What applications send, written after their sources, with what they read of the answers."""
