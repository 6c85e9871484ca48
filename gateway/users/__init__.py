"""Who may log in: passwords, the users file, and the brake on guessing."""
