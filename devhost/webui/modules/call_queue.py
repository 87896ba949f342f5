"""The lock that keeps generations one at a time."""

import threading

queue_lock = threading.Lock()
