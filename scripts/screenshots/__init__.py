"""Takes the screenshots of the page that README and docs show."""
