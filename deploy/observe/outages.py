"""Every alert, and an outage that makes it fire: each breaks something for real, waits, and does what the runbook says.

An outage is a generator. What stands before its `yield` breaks, what stands after it mends. It goes on from the `yield` as
long as not all of its alerts fire, which is what it is told; `until_told` is for those that have nothing to do meanwhile.
"""
import socket
import time

from confirm import end_long_transactions

OUTAGES = []


class Outage:
    def __init__(self, make, alerts, patience, late):
        self.make, self.called, self.how = make, make.__name__, make.__doc__.strip()
        self.alerts, self.patience, self.late = alerts, patience, late


def fires(*alerts, patience=120, late=()):
    """The alerts, as `name/severity`, that have to fire within the patience; `late` are those that end minutes later, since
    they look back for hours or days."""
    def noted(make):
        known = [tuple(alert.split("/")) for alert in alerts]
        OUTAGES.append(Outage(make, known, patience, {tuple(alert.split("/")) for alert in late}))
        return make

    return noted


def until_told():
    while (yield):
        pass


def every(pause, act):
    """Does something again and again."""
    due = 0
    while (yield):
        if time.monotonic() >= due:
            act()
            due = time.monotonic() + pause


# Processes


@fires("DeedDown/page")
def all_processes_gone(stand):
    """kill -9 of every process"""
    for member in stand.fleet.members:
        member.child.kill()
    yield from until_told()
    stand.fleet.mend()


@fires("DeedProcessDown/ticket")
def one_process_gone(stand):
    """kill -9 of one verifier"""
    verifier = stand.fleet.of("verifier")[0]
    verifier.child.kill()
    yield from until_told()
    verifier.start()


@fires("DeedRoleMissing/page")
def verifiers_gone(stand):
    """kill -9 of all verifiers"""
    for verifier in stand.fleet.of("verifier"):
        verifier.child.kill()
    yield from until_told()
    stand.fleet.mend()


@fires("DeedRestarting/ticket")
def crash_loop(stand):
    """kill -9 of one verifier again and again, which is started again each time"""
    verifier = stand.fleet.of("verifier")[0]

    def again():
        verifier.child.kill()
        verifier.start()

    yield from every(4, again)


@fires("DeedVersionsMixed/ticket", patience=180)
def half_upgraded(stand):
    """One verifier runs an executable of another version"""
    verifier = stand.fleet.of("verifier")[0]
    verifier.restart(program=stand.other_version())
    yield from until_told()
    verifier.restart()


@fires("DeedFileDescriptors/ticket")
def few_descriptors(stand):
    """One api process may open 150 files, and clients keep 105 connections open"""
    api = stand.fleet.of("api")[1]
    api.restart(files=150)
    stand.wait_ready(api)
    clients = [socket.create_connection(("127.0.0.1", api.http), timeout=5) for _ in range(105)]

    def ask():
        # Those that ask for nothing are closed.
        for client in clients:
            client.sendall(b"GET /v1/domains HTTP/1.1\r\nHost: deed\r\n\r\n")
            client.recv(65536)

    yield from every(3, ask)
    for client in clients:
        client.close()
    api.restart()


@fires("DeedTracesDropped/ticket", patience=180)
def collector_silent(stand):
    """The collector of traces takes connections and never answers, and processes keep 16 spans"""
    collector = socket.create_server(("127.0.0.1", 0))
    endpoint = f"http://127.0.0.1:{collector.getsockname()[1]}"
    sending = {"DEED__TELEMETRY__ENDPOINT": endpoint, "DEED__TELEMETRY__QUEUE": "16", "DEED__TELEMETRY__TIMEOUT": "1s"}
    tracing = stand.fleet.of("api") + stand.fleet.of("verifier")
    for member in tracing:
        member.restart(variables=sending)
    yield from until_told()
    collector.close()
    for member in tracing:
        member.restart()


# The broker


@fires("DeedBrokerUnreachable/page")
def broker_killed(stand):
    """RabbitMQ killed"""
    stand.place.services.order("rabbitmq", "kill")
    yield from until_told()
    stand.place.services.order("rabbitmq", "start")


@fires("DeedBrokerUnreachable/ticket")
def broker_out_of_reach_of_one(stand):
    """One verifier has an address of the broker at which nobody listens"""
    verifier = stand.fleet.of("verifier")[0]
    verifier.restart(variables={"DEED__BUS__URL": "amqp://guest:guest@127.0.0.1:1/x"})
    yield from until_told()
    verifier.restart()


@fires("DeedNothingConsumed/page")
def right_to_read_lost(stand):
    """The user may not read the queue any more, and all connections to RabbitMQ are closed, now and then"""
    services = stand.place.services
    user = f"permissions/{services.vhost}/guest"
    services.broker("PUT", user, {"configure": ".*", "write": ".*", "read": "^deed\\.events$"})
    # Connections that were made just now are not yet listed.
    yield from every(10, services.cut_connections)
    services.broker("PUT", user, {"configure": ".*", "write": ".*", "read": ".*"})


@fires("DeedNothingConsumed/ticket")
def one_may_not_read(stand):
    """One verifier is another user of RabbitMQ, who may write and not read"""
    services, verifier = stand.place.services, stand.fleet.of("verifier")[0]
    services.broker("PUT", "users/writer", {"password": "writer", "tags": ""})
    services.broker("PUT", f"permissions/{services.vhost}/writer", {"configure": ".*", "write": ".*", "read": "^deed\\.events$"})
    verifier.restart(variables={"DEED__BUS__URL": services.bus.replace("guest:guest@", "writer:writer@")})
    yield from until_told()
    verifier.restart()


@fires("DeedBrokerBlocked/page", "DeedSubscriptionLagging/page", "DeedDueWorkOverdue/page", patience=300)
def broker_blocked(stand):
    """The memory alarm of RabbitMQ raised"""
    stand.place.services.order("rabbitmq", "block")
    yield from until_told()
    stand.place.services.order("rabbitmq", "unblock")


@fires("DeedBrokerFlapping/ticket", patience=240)
def connections_cut(stand):
    """All connections to RabbitMQ closed again and again"""
    services = stand.place.services
    yield from every(2, services.cut_connections)


@fires("DeedPublishesFail/ticket", patience=180)
def queue_full(stand):
    """A policy lets the queue of work hold one message and refuse the rest, and the verifiers stand still"""
    services = stand.place.services
    limit = {"pattern": "^deed\\.verification$", "definition": {"max-length": 1, "overflow": "reject-publish"}, "apply-to": "queues", "priority": 9}
    services.broker("PUT", f"policies/{services.vhost}/full", limit)
    for verifier in stand.fleet.of("verifier"):
        verifier.freeze()
    yield from until_told()
    services.broker("DELETE", f"policies/{services.vhost}/full")
    for verifier in stand.fleet.of("verifier"):
        verifier.thaw()


@fires("DeedDeadLetters/ticket")
def poison(stand):
    """A message that nobody can read put into the queue of work"""
    services = stand.place.services
    body = {"properties": {"message_id": "poison"}, "routing_key": "deed.verification", "payload": "no JSON", "payload_encoding": "string"}
    services.broker("POST", f"exchanges/{services.vhost}/amq.default/publish", body)
    yield from until_told()
    for letter in stand.place.deed("dead", "list"):
        stand.place.deed("dead", "purge", letter["id"])


# Work


@fires("DeedNoLeader/page", patience=180)
def leases_locked(stand):
    """A session holds a lock on the table of leases"""
    lock = stand.place.services.session(stand.folder, "BEGIN; LOCK TABLE leases IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(600)")
    yield from until_told()
    end_long_transactions(stand.place.services)
    lock.stop()


@fires("DeedLeaderFlapping/ticket", patience=240)
def leaders_stopped(stand):
    """SIGSTOP of whoever leads the relay, for longer than the lease lasts, again and again"""
    frozen = []

    def next_leader():
        for member in frozen:
            member.thaw()
        frozen.clear()
        leader = stand.leader("relay")
        if leader:
            leader.freeze()
            frozen.append(leader)

    yield from every(4, next_leader)
    stand.fleet.mend()


@fires("DeedQueueBacklog/page", "DeedVerifiersSaturated/ticket", patience=300)
def too_few_hands(stand):
    """One verifier with one hand is left, and name servers take 1.2 s for each answer"""
    first, *others = stand.fleet.of("verifier")
    stand.place.sandbox.fault("*.", "delay", 1200)
    first.restart(variables={"DEED__VERIFIER__IN_FLIGHT": "1", "DEED__BUS__PREFETCH": "1"})
    for verifier in others:
        verifier.child.stop()
    yield from until_told()
    stand.place.sandbox.heal()
    first.restart()
    stand.fleet.mend()


@fires("DeedDueWorkLate/page", "DeedDueWorkLate/ticket", patience=180, late=("DeedDueWorkLate/ticket",))
def projectors_stopped(stand):
    """SIGSTOP of both projectors for 20 s"""
    for projector in stand.fleet.of("projector"):
        projector.freeze()
    begun = time.monotonic()
    while (yield):
        if time.monotonic() - begun > 20:
            stand.fleet.mend()
    stand.fleet.mend()


# The DNS


@fires("DeedVerifierPaused/page")
def dns_silent(stand):
    """Every name server silent"""
    # Everything below the root, and the root itself.
    stand.place.sandbox.fault("*.", "drop")
    stand.place.sandbox.fault("@", "drop")
    yield from until_told()
    stand.place.sandbox.heal()


@fires("DeedVerifierPaused/ticket")
def dns_out_of_reach_of_one(stand):
    """One verifier asks the DNS at a port where nobody listens"""
    verifier = stand.fleet.of("verifier")[0]
    verifier.restart(variables={"DEED__DNS__PORT": "9"})
    yield from until_told()
    verifier.restart()


@fires("DeedDnsServersSilent/ticket", patience=240)
def many_servers_silent(stand):
    """All new names have servers that never answer"""
    stand.load.silent = True
    yield from until_told()
    stand.load.silent = False


@fires("DeedDnsSocketsExhausted/ticket", "DeedChecksInternal/page", "DeedChecksInternal/ticket", patience=240, late=("DeedChecksInternal/ticket",))
def few_sockets(stand):
    """The verifiers may open 264 files, and all new names have servers that never answer"""
    stand.load.silent = True
    for verifier in stand.fleet.of("verifier"):
        verifier.restart(files=264)
    yield from until_told()
    stand.load.silent = False
    for verifier in stand.fleet.of("verifier"):
        verifier.restart()


# The store


@fires("DeedStoreUnavailable/page", "DeedNotReady/ticket", "DeedApiErrors/page", "DeedApiErrors/ticket", late=("DeedApiErrors/ticket",))
def database_down(stand):
    """PostgreSQL ended at once, and not started again"""
    stand.place.services.order("postgres", "stop")
    yield from until_told()
    stand.place.services.order("postgres", "start")
    stand.fleet.mend()


@fires("DeedStorePoolExhausted/ticket")
def lists_locked(stand):
    """A session holds a lock on the table that lists are read from, and tenants read them"""
    lock = stand.place.services.session(stand.folder, "BEGIN; LOCK TABLE claims IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(600)")
    yield from every(0.4, lambda: stand.load.later(0, stand.load.ask, 0, "GET", "/v1/domains/claims"))
    end_long_transactions(stand.place.services)
    lock.stop()


@fires("DeedAppendsSlow/ticket", "DeedApiSlow/page", "DeedApiSlow/ticket", patience=240, late=("DeedApiSlow/ticket",))
def log_slow(stand):
    """A session locks the log for 2 s again and again"""
    sessions = []

    def again():
        for session in sessions:
            session.stop()
        sessions[:] = [stand.place.services.session(stand.folder, "BEGIN; LOCK TABLE log_head IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(2)")]

    yield from every(2.3, again)
    end_long_transactions(stand.place.services)
    for session in sessions:
        session.stop()


# Claims


@fires("DeedHoldingsLapse/ticket", "DeedNothingVerified/ticket", patience=900)
def records_lost(stand):
    """Every record of the world gone, and none published any more"""
    # There has to be something to lose.
    held = 'sum(deed_claims_verified_total) - sum(deed_claims_ended_total{end=~"released|lapsed|transferred"})'
    stand.until(lambda: any(value > 80 for _, value in stand.prometheus.values(held)), 120)
    stand.place.sandbox.ask("POST", "reset")
    stand.place.sandbox.fault("*.com", "nxdomain")
    yield from until_told()
    stand.place.sandbox.heal()
