"""Observers outside the child: fanotify, strace, and how one is chosen."""
