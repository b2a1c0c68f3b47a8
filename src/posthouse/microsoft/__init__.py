"""What is known of Microsoft 365 that no protocol says: its clouds, endpoints and limits, and what its replies mean.

Data and pure look-ups. The numbers and texts change with Microsoft's announcements, so they stand here, each with its
source, and nowhere else.
"""
