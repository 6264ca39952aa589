"""What engines that speak share: sentences, voices, files of sound, and the loop that reads texts aloud."""
