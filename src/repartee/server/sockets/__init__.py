"""WebSockets and the process: frames in and out, the loop, the end."""
