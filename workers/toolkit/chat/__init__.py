"""What chat engines share: conversations for chat templates, detokenization, stop strings, and chunks of answers."""
