"""What is kept, dropped and counted when something on the way breaks."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from otel_llm import semconv as sc
from tests.collector import fleet
from tests.collector.fleet import TOKEN, Collector, Span

pytestmark = pytest.mark.collector

NOWHERE = "http://127.0.0.1:1"
PEER_CONTENT = "x" * 2000


def batch(n: int = 50) -> list[Span]:
    return [Span(attributes={sc.INPUT_MESSAGES: PEER_CONTENT}) for _ in range(n)]


def ids(*gateways: Collector) -> list[str]:
    return [one.id for one in fleet.kept(*gateways)]


def arrive(spans: list[Span], *gateways: Collector, seconds: float = 60) -> bool:
    """Whether all of the spans have left the gateways, after a while at most."""
    wanted = {span.id for span in spans}
    return bool(fleet.eventually(lambda: wanted <= set(ids(*gateways)), seconds=seconds, every=0.3))


def test_an_agent_that_is_killed_loses_nothing_that_it_took(collector: str, tmp_path: Path) -> None:
    gateway = fleet.gateway(tmp_path / "gateway", KEEP_PERCENT="100")
    agent = fleet.agent(tmp_path / "agent", gateway.otlp).start()
    sent = []
    try:
        for _ in range(3):
            for _ in range(4):
                spans = batch()
                fleet.send(agent, spans)
                sent += spans
            agent.kill()
            agent.start()
        with gateway:
            assert arrive(sent, gateway)
            assert len(ids(gateway)) == len(sent)  # and none twice
    finally:
        agent.kill()


def test_while_the_gateway_is_away_all_of_it_waits_on_disk(collector: str, tmp_path: Path) -> None:
    gateway = fleet.gateway(tmp_path / "gateway", KEEP_PERCENT="100")
    with fleet.agent(tmp_path / "agent", gateway.otlp) as agent:
        with gateway:
            first = batch()
            fleet.send(agent, first)
            assert arrive(first, gateway)
        away = [span for _ in range(10) for span in _sent(agent)]
        waiting = fleet.eventually(lambda: agent.own("otelcol_exporter_queue_size"))
        assert waiting > 10 * 50 * len(PEER_CONTENT) / 2  # bytes; some batches are under way
        assert list((tmp_path / "agent/queue").iterdir())
        with gateway:
            assert arrive(away, gateway)
        assert agent.own("otelcol_exporter_send_failed_spans") == 0
        assert agent.own("otelcol_exporter_enqueue_failed_spans") == 0


def test_an_agent_that_is_asked_to_end_keeps_on_disk_what_it_could_not_send(
    collector: str, tmp_path: Path
) -> None:
    gateway = fleet.gateway(tmp_path / "gateway", KEEP_PERCENT="100")
    agent = fleet.agent(tmp_path / "agent", gateway.otlp)
    with agent:
        sent = [span for _ in range(5) for span in _sent(agent)]
    with agent, gateway:
        assert arrive(sent, gateway)
        assert len(ids(gateway)) == len(sent)


def _sent(agent: Collector) -> list[Span]:
    spans = batch()
    fleet.send(agent, spans)
    return spans


def test_a_gateway_that_is_asked_to_end_decides_and_hands_on_what_it_has(
    collector: str, tmp_path: Path
) -> None:
    gateway = fleet.gateway(
        tmp_path, GATEWAY_DECISION_WAIT="600s", GATEWAY_AFTER_ROOT="600s", KEEP_PERCENT="100"
    ).start()
    spans = batch()
    assert fleet.post(gateway.otlp, fleet.encoded(spans), TOKEN) == 200
    fleet.eventually(
        lambda: gateway.own("otelcol_receiver_accepted_spans", receiver="otlp/peers") == len(spans)
    )
    gateway.stop()
    assert sorted(ids(gateway)) == sorted(span.id for span in spans)


def test_a_gateway_that_is_killed_loses_what_waits_for_a_decision_and_no_more(
    collector: str, tmp_path: Path
) -> None:
    gateway = fleet.gateway(
        tmp_path, KEEP_PERCENT="100", GATEWAY_DECISION_WAIT="8s", GATEWAY_AFTER_ROOT="5s"
    ).start()
    try:
        decided, undecided, later = batch(), batch(), batch()
        assert fleet.post(gateway.otlp, fleet.encoded(decided), TOKEN) == 200
        assert arrive(decided, gateway)
        assert fleet.post(gateway.otlp, fleet.encoded(undecided), TOKEN) == 200
        fleet.eventually(lambda: gateway.own("otelcol_receiver_accepted_spans", receiver="otlp/peers") == 100)
        gateway.kill()
        gateway.start()
        assert fleet.post(gateway.otlp, fleet.encoded(later), TOKEN) == 200
        assert arrive(later, gateway)
        assert set(ids(gateway)) == {span.id for span in decided + later}
    finally:
        gateway.kill()


@pytest.fixture
def pair(collector: str, tmp_path: Path) -> tuple[Collector, Collector]:
    """Two gateways that know of each other, not started."""
    peers = [fleet.address(), fleet.address()]
    one, other = (
        fleet.gateway(
            tmp_path / f"g{n}", peer=peers[n], GATEWAY_PEERS=f"[{', '.join(peers)}]", KEEP_PERCENT="100"
        )
        for n in range(2)
    )
    return one, other


def test_two_gateways_share_traces_by_id_whichever_is_asked(pair: tuple[Collector, Collector]) -> None:
    one, other = pair
    spans = [span for root in batch(100) for span in (root, Span(trace=root.trace, parent=root.id))]
    with one, other:
        assert fleet.post(one.otlp, fleet.encoded(spans[::2]), TOKEN) == 200  # all roots to the one
        assert fleet.post(other.otlp, fleet.encoded(spans[1::2]), TOKEN) == 200  # all children to the other
        assert arrive(spans, one, other)
        traces = [{kept.trace for kept in fleet.kept(gateway)} for gateway in pair]
    assert not traces[0] & traces[1]
    assert min(map(len, traces)) > 20  # of 100: each its share


def test_while_one_of_two_gateways_is_dead_the_other_goes_on_and_nothing_is_lost(
    pair: tuple[Collector, Collector],
) -> None:
    one, other = pair
    with one:
        other.start()
        first = batch(60)
        assert fleet.post(one.otlp, fleet.encoded(first), TOKEN) == 200
        assert arrive(first, one, other)
        other.kill()
        sent = []
        for _ in range(20):
            spans = batch(20)
            assert fleet.post(one.otlp, fleet.encoded(spans), TOKEN) == 200
            sent += spans
        # The living one's part, about half, leaves while the other is dead.
        there = fleet.eventually(lambda: len({span.id for span in sent} & set(ids(one))) > 150)
        assert there
        assert one.own("otelcol_exporter_queue_size", exporter="load_balancing") > 0
        with other:
            assert arrive(sent, one, other)  # some of them twice, as the page says
            assert set(ids(one, other)) == {span.id for span in first + sent}
        assert one.own("otelcol_exporter_send_failed_spans", exporter="load_balancing") == 0


def test_what_waits_for_a_dead_gateway_goes_to_the_others_when_it_is_off_the_list(
    pair: tuple[Collector, Collector],
) -> None:
    one, other = pair
    one.start()
    sent = []
    try:
        for _ in range(5):
            spans = batch(20)
            assert fleet.post(one.otlp, fleet.encoded(spans), TOKEN) == 200
            sent += spans
        one.stop()
    finally:
        one.kill()
    one.env = {**one.env, "GATEWAY_PEERS": f"[{one.env['GATEWAY_PEER_GRPC']}]"}
    with one:
        assert arrive(sent, one)
    assert set(ids(one)) == {span.id for span in sent}
    del other


def test_a_client_without_the_token_is_turned_away(collector: str, tmp_path: Path) -> None:
    with fleet.gateway(tmp_path / "gateway", KEEP_PERCENT="100") as gateway:
        body = fleet.encoded(batch())
        assert fleet.post(gateway.otlp, body) == 401
        assert fleet.post(gateway.otlp, body, "another-token") == 401
        with fleet.agent(tmp_path / "agent", gateway.otlp, OTEL_LLM_TOKEN="another-token") as agent:
            fleet.send(agent, batch())
            # The agent is told for good: it drops them, counts them and says so.
            assert fleet.eventually(lambda: agent.own("otelcol_exporter_send_failed_spans")) == 50
            assert "401" in agent.said()
        good = batch()
        assert fleet.post(gateway.otlp, fleet.encoded(good), TOKEN) == 200
        assert arrive(good, gateway)
        assert gateway.own("otelcol_receiver_accepted_spans", receiver="otlp") == len(good)


def test_a_span_of_20_mb_arrives_with_its_texts_cut(collector: str, tmp_path: Path) -> None:
    with fleet.gateway(tmp_path / "gateway", KEEP_PERCENT="100") as gateway:
        with fleet.agent(tmp_path / "agent", gateway.otlp) as agent:
            huge = Span(
                attributes={
                    sc.INPUT_MESSAGES: "y" * 15_000_000,
                    "app.dump": "z" * 5_000_000,
                    sc.USAGE_INPUT_TOKENS: 9,
                }
            )
            beside = batch(3)
            fleet.send(agent, [*beside, huge])
            assert arrive([*beside, huge], gateway)
            [left] = [one for one in fleet.kept(gateway) if one.id == huge.id]
            assert left.attributes == {
                "app.dump": "z" * 4096,
                sc.USAGE_INPUT_TOKENS: 9,
                **_of_node(left.attributes),
            }
            # Beyond what it takes at all, the sender is told, and the agent goes on.
            assert fleet.post(
                agent.otlp, fleet.encoded([Span(attributes={"app.dump": "z" * 70_000_000})])
            ) in {400, 413}
            after = batch()
            fleet.send(agent, after)
            assert arrive(after, gateway)


def _of_node(attributes: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in attributes.items() if key.startswith("host.")}


def test_a_full_disk_under_the_queue_is_said_and_counted_and_passes(collector: str, tmp_path: Path) -> None:
    """A disk of 4 MB of the agent's own: a file system in memory, in a namespace that needs no privileges."""
    small = tmp_path / "small"
    small.mkdir()
    unshare = shutil.which("unshare")
    enter = [unshare or "", "--user", "--map-root-user", "--mount", "sh", "-c"]
    mount = f"mount -t tmpfs -o size=4m none {small}"
    if unshare is None or subprocess.run([*enter, mount], capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted without privileges here")
    gateway = fleet.gateway(tmp_path / "gateway", KEEP_PERCENT="100")
    agent = fleet.agent(tmp_path / "agent", gateway.otlp, AGENT_QUEUE=str(small / "queue"))
    agent.command = [*enter, f'{mount} && exec "$@"', "sh", *agent.command]
    accepted: list[Span] = []
    refused = 0
    with agent:
        for _ in range(60):
            spans = batch()
            if fleet.post(agent.otlp, fleet.encoded(spans)) == 200:
                accepted += spans
            else:
                refused += len(spans)
        assert refused  # 6 MB do not fit into 4
        assert accepted
        assert agent.own("otelcol_exporter_enqueue_failed_spans") == refused
        assert "no space left on device" in agent.said() or "sending queue" in agent.said()
        with gateway:
            assert arrive(accepted, gateway)  # what it took is there
            after = batch()
            fleet.send(agent, after)  # and once there is room it takes again
            assert arrive(after, gateway)


def test_above_its_memory_limit_a_gateway_refuses_counts_it_and_lives(collector: str, tmp_path: Path) -> None:
    gateway = fleet.gateway(tmp_path / "gateway", KEEP_PERCENT="100", GATEWAY_MEMORY_MIB="60", GATEWAY_SPIKE_MIB="20",
                            GATEWAY_DECISION_WAIT="30s", GATEWAY_AFTER_ROOT="30s")  # fmt: skip
    with gateway:
        statuses = set()
        for _ in range(150):  # 150 MB that all wait for a decision
            spans = [Span(attributes={"app.dump": "z" * 4000}) for _ in range(250)]
            statuses.add(fleet.post(gateway.otlp, fleet.encoded(spans), TOKEN))
            if 503 in statuses:
                break
        assert 503 in statuses
        assert gateway.own("otelcol_processor_memory_limiter_refused_spans") > 0
        assert gateway.process is not None
        assert gateway.process.poll() is None
        assert gateway.rss_mib() < 400


def test_an_agent_does_not_start_over_a_queue_that_is_no_queue_and_says_so(
    collector: str, tmp_path: Path
) -> None:
    agent = fleet.agent(tmp_path / "agent", NOWHERE)
    with agent:
        fleet.send(agent, batch())
    [file] = [path for path in (tmp_path / "agent/queue").iterdir() if "traces" in path.name]
    file.write_bytes(os.urandom(file.stat().st_size))
    with pytest.raises(AssertionError, match="invalid database"):
        agent.start()
    file.rename(tmp_path / "put-aside")
    with agent:
        fleet.send(agent, batch())
