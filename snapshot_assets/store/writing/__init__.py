"""Writing documents and frames to Redis. Where the usage comes from must stay out."""
