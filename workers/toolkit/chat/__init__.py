"""What chat engines share, whatever library decodes for them: conversations in, text and chunks out."""
