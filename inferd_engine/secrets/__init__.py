"""What nobody is shown, and how it is kept out of what is shown."""
