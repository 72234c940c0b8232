"""The fault rig: a role's coordinators on a three-member etcd, every edge cut at will.

A scenario is an async function of a `Rig`, registered by name, in a module `tests/rig/scenarios_*`
(all modules of that name are found by themselves):

    from tests.rig.registry import scenario
    from tests.rig.rig import Rig

    @scenario("S6", "the active is cut off from etcd alone", ttl_s=60)
    async def cut_from_etcd(rig: Rig) -> None:
        active, standby = await rig.pair()      # both started: the active one, a ready standby
        with rig.fault("cut active-etcd"):      # marks the history; RTO is measured from here
            await active.etcd.cut()             # an edge: cut / hold / delay(ms) / refuse / heal
            await rig.leads(standby)            # until it answers all clients
        await active.etcd.heal()
        await active.wait_standby()

`@scenario(name, title, *, coordinators=2, etcd_members=3, ttl_s=60, serve_lease_ms=1000, env={},
statements=True, other_hosts=False)`; `statements=False` leaves the metadata workload out;
`other_hosts=True` gives each coordinator its own pid namespace (needs root; else the scenario is
skipped), so that a standby cannot see the active's process die.

`Rig` (module rig):
  rig.coordinators            Coordinator(OurRole): .start .kill .pause .resume .terminate .http ...
                              .peer    edge others -> its gRPC port (the advertised address)
                              .client  edge clients -> its gRPC port (what the hammer dials)
                              .etcd    edges it -> every etcd member, as one; .etcd.members[i]
                              .epoch() its epoch by GET /role, 0 when it does not lead
  rig.etcd                    EtcdCluster (testing.etcd), rig.client: our EtcdClient, direct
  await rig.pair()            start everything; (the active, one ready standby)
  await rig.restart(c)        start a dead one again; returns when it is a ready standby
  await rig.leads(c, within_s=20)   c gives timestamps and acknowledges a statement
  await rig.one_leads()       the one that is active, the others standing by
  await rig.quiet(seconds)    let the clients go on for that long
  rig.fault("words")          context: what is inside is the fault; its gap is the RTO
  rig.long, rig.random        long form or short one; the run's random.Random(seed)
  rig.pick(short, long)       the one that fits the form
  rig.expect(*causes)         the takeovers (Cause) that the history must hold, the first included
  rig.no_failover()           context: fails when the active key changes inside
  rig.failpoints(c, "after_claim=crash")     for the next start of c
After the function returns the rig stops the clients, repairs nothing, and runs every checker
(module checkers). The verdict is SAFE, UNSAFE (rig.violations and the checkers') or FAILED (an
exception of the scenario, rig.surprises, other causes than expected); then the histories are kept
as JSON lines. Of early causes one counts as another: which sign is first is chance.

pytest: `await play("S6", folder)` (module play) asserts that the short form is SAFE.
All day: `scripts/chaos --hours 1 --only S4,S7 --seed 5`.
"""
