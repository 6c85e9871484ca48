"""What the gateway lets be seen of itself: access log, metrics, events. All of it off the request's path."""
