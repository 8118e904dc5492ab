"""The open searches of all tasks, by task and by user."""

from __future__ import annotations

from execwhy.tui.model.search.open_search import OpenSearch


class OpenOfUser:
    """The open searches of one user.

    Attributes:
        tasks: Their tasks, the one that has waited longest first.
        weight: The sum of their weights.
        reached: Timestamp of the latest try.
    """

    __slots__ = ("reached", "tasks", "weight")

    def __init__(self) -> None:
        self.reached = 0
        self.tasks: dict[int, None] = {}
        self.weight = 0


class OpenSearches:
    """The open searches, with the weight of each user's.

    Attributes:
        by_task: The search of each task.
        users: The searches of each user, by ``user_of``.
        weight: The sum of the weights of all searches.
    """

    def __init__(self) -> None:
        self.by_task: dict[int, OpenSearch] = {}
        self.users: dict[int, OpenOfUser] = {}
        self.weight = 0

    def put_in(self, task: int, search: OpenSearch) -> None:
        """Add the search of a task, as the last one of its user to time out."""
        self.by_task[task] = search
        self.weight += search.weight
        of_user = self.users.get(search.user)
        if of_user is None:
            of_user = self.users[search.user] = OpenOfUser()
        of_user.tasks[task] = None
        of_user.reached = max(of_user.reached, search.last)
        of_user.weight += search.weight

    def take_out(self, task: int) -> OpenSearch | None:
        """Remove the search of a task and return it; None where the task has none."""
        search = self.by_task.pop(task, None)
        if search is not None:
            self.weight -= search.weight
            of_user = self.users[search.user]
            of_user.weight -= search.weight
            del of_user.tasks[task]
            if not of_user.tasks:
                del self.users[search.user]
        return search

    def forget_tries(self, search: OpenSearch) -> None:
        """Let an open search start over, for the same name."""
        before = search.weight
        search.forget()
        self.weight += search.weight - before
        self.users[search.user].weight += search.weight - before

    def with_most_searches(self) -> OpenOfUser:
        """Return the searches of the user who has the most of them."""
        return max(self.users.values(), key=lambda each: len(each.tasks))

    def with_most_weight(self) -> OpenOfUser:
        """Return the searches of the user whose searches weigh the most."""
        return max(self.users.values(), key=lambda each: each.weight)
