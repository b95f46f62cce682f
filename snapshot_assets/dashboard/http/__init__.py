"""What the web server adds to the pages: access, security headers, monitoring."""
