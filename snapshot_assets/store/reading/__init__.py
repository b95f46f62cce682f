"""Reading documents and frames from Redis. Writing must stay out."""
