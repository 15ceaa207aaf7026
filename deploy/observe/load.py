"""Tenants: they claim names and publish records, rightly, late, wrongly or not at all; they quarrel, give up and let names go."""
import heapq
import itertools
import threading
import time

from place import SILENT, WORKSPACES, request

# How long a proven name is kept; what lapses or moves takes longer.
KEPT = 60


class Load:
    """So many new names a second. Answers that are no success are counted: most of the time something is broken."""

    def __init__(self, place, apis, pace):
        self.place, self.apis, self.pace = place, apis, pace
        self.answers, self.verified, self.failed = {}, 0, []
        self.silent = False
        self.numbers, self.order = itertools.count(1), itertools.count()
        self.tasks, self.changed, self.over = [], threading.Condition(), False
        self.apps = {}
        # Enough for some to hang while the service does.
        self.threads = [threading.Thread(target=self.work, daemon=True) for _ in range(64)]
        for thread in self.threads:
            thread.start()
        self.later(0, self.next)

    def later(self, pause, task, *arguments):
        with self.changed:
            heapq.heappush(self.tasks, (time.monotonic() + pause, next(self.order), task, arguments))
            self.changed.notify()

    def work(self):
        while not self.over:
            with self.changed:
                pause = self.tasks[0][0] - time.monotonic() if self.tasks else 1
                if pause > 0:
                    self.changed.wait(pause)
                    continue
                _, _, task, arguments = heapq.heappop(self.tasks)
            try:
                task(*arguments)
            except Exception as error:  # noqa: BLE001 - the service may be in any state; the others go on
                self.failed.append(f"{task.__name__}: {error!r}")

    def next(self):
        number = next(self.numbers)
        self.later(1 / self.pace, self.next)
        self.plan(number)(number, f"n{number}.com")

    def plan(self, number):
        if self.silent:
            return self.unanswered
        return {
            8: self.late, 9: self.late, 10: self.wrong, 11: self.nothing, 12: self.truncated, 13: self.cancelled, 14: self.moved,
            15: self.contested, 16: self.host, 17: self.lapsing if number % 60 == 17 else self.host, 18: self.reading, 19: self.unanswered if number % 60 == 19 else self.nothing,
        }.get(number % 20, self.proven)

    def ask(self, tenant, method, path, body=None):
        """Of any process that serves: one that is not there is passed over, as a load balancer does it."""
        key = {"Authorization": f"Bearer {self.place.keys[tenant]}"}
        for turn in range(len(self.apis)):
            api = self.apis[(next(self.order) + turn) % len(self.apis)]
            status, answer = request(method, f"http://127.0.0.1:{api.http}{path}", body, key, patience=15)
            if status:
                break
        self.answers[status] = self.answers.get(status, 0) + 1
        return status, answer

    def claim(self, tenant, name):
        status, answer = self.ask(tenant, "POST", "/v1/domains/claims", {"domain": name})
        return answer["data"]["record"] if status == 200 else None

    def verify(self, tenant, name):
        status, _ = self.ask(tenant, "POST", f"/v1/domains/claims/{name}/verify")
        self.verified += status == 200
        return status

    def proven(self, number, name, tenant=None, kept=True):
        tenant = number % len(WORKSPACES) if tenant is None else tenant
        record = self.claim(tenant, name)
        if record:
            self.place.sandbox.publish(record["name"], record["value"])
            self.verify(tenant, name)
            if kept:
                self.later(KEPT, self.release, tenant, name, record)
        return record

    def release(self, tenant, name, record):
        self.ask(tenant, "DELETE", f"/v1/domains/{name}")
        self.place.sandbox.withdraw(record["name"])

    def late(self, number, name):
        tenant = number % len(WORKSPACES)
        record = self.claim(tenant, name)
        if record:
            self.verify(tenant, name)
            self.later(3, self.place.sandbox.publish, record["name"], record["value"])
            self.later(KEPT, self.release, tenant, name, record)

    def wrong(self, number, name):
        record = self.claim(0, name)
        if record:
            self.place.sandbox.publish(record["name"], "v=spf1 -all")
            self.verify(0, name)

    def truncated(self, number, name):
        record = self.claim(1, name)
        if record:
            self.place.sandbox.publish(record["name"], record["value"][:-4])
            self.verify(1, name)

    def nothing(self, number, name):
        if self.claim(2, name):
            self.verify(2, name)

    def unanswered(self, number, name):
        self.place.sandbox.silence(name, SILENT[number % len(SILENT)])
        if self.claim(2, name):
            self.ask(2, "POST", "/v1/domains/claims/verify", {"domains": [name]})

    def cancelled(self, number, name):
        if self.claim(0, name):
            self.verify(0, name)
            self.later(5, self.ask, 0, "DELETE", f"/v1/domains/claims/{name}")

    def moved(self, number, name):
        """Another tenant's record stands in place of the holder's: the name moves."""
        if self.proven(number, name, tenant=0, kept=False):
            self.later(2, self.proven, number, name, 1)

    def contested(self, number, name):
        """Both records stand; then the holder's goes."""
        mine = self.proven(number, name, tenant=0, kept=False)
        theirs = mine and self.claim(1, name)
        if theirs:
            self.place.sandbox.publish(mine["name"], mine["value"], theirs["value"])
            self.verify(1, name)
            self.later(5, self.place.sandbox.publish, theirs["name"], theirs["value"])
            self.later(KEPT, self.release, 1, name, theirs)

    def lapsing(self, number, name):
        record = self.proven(number, name, kept=False)
        if record:
            self.later(5, self.place.sandbox.withdraw, record["name"])

    def host(self, number, name):
        if "app" not in self.apps:
            status, answer = self.ask(0, "POST", "/v1/apps", {"name": "Docs"})
            if status not in (200, 201):
                return
            self.apps["app"] = answer["app_id"]
        path = f"/v1/apps/{self.apps['app']}/domains"
        status, answer = self.ask(0, "POST", path, {"domain": f"www.{name}"})
        if status in (200, 201):
            self.place.sandbox.publish(f"_deed-verify.www.{name}", f"deed-site-verification={answer['verification_token']}")
            self.ask(0, "POST", f"{path}/www.{name}/verify")
            self.later(KEPT, self.ask, 0, "DELETE", f"{path}/www.{name}")

    def reading(self, number, name):
        self.ask(0, "GET", "/v1/domains")
        self.ask(1, "GET", "/v1/domains/claims")
        self.ask(2, "GET", f"/v1/domains/claims/n{max(1, number - 7)}.com/history")

    def stop(self):
        self.over = True
        with self.changed:
            self.changed.notify_all()
        for thread in self.threads:
            thread.join(1)
