"""The way to a Redis server and back. What is sent and what the answers mean must stay out."""
