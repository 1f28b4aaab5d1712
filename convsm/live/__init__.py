"""What is seen of a conversation while it goes on, and convsm talk: one held by a person at a terminal."""
