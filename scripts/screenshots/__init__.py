"""Takes the pictures of the page that README and docs show."""
