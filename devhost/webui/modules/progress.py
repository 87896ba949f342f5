"""Names of running tasks."""

import uuid

current_task: str | None = None


def create_task_id(task_type: str) -> str:
    """A fresh task name."""
    return f"task({task_type}-{uuid.uuid4().hex[:7].upper()})"


def start_task(id_task: str) -> None:
    """The task is running."""
    global current_task
    current_task = id_task


def finish_task(id_task: str) -> None:
    """The task is done."""
    global current_task
    current_task = None if current_task == id_task else current_task
