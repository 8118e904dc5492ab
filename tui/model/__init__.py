"""What the screen shows, without the screen: nothing in here imports Textual or bcc."""
