"""What is known of Microsoft 365 that no protocol says: its clouds, endpoints and limits.

Data and pure look-ups. The numbers change with Microsoft's announcements, so they stand here, each with its source, and
nowhere else.
"""
