"""The page at work, in a real browser."""

import json
from itertools import pairwise

import pytest

from otel_llm import analysis
from otel_llm import semconv as sc
from otel_llm.store import StoreReader
from tests.cli.spans import agent_trace
from tests.report.games import Game, games, write

pytestmark = pytest.mark.browser

GAME_SECTIONS = [
    "timeline", "powers", "centres", "letters", "patterns", "costs", "latency", "spending", "models", "success",
    "orders", "trouble", "interactions",
]  # fmt: skip


@pytest.fixture
def loaded(game, tmp_path):
    write(tmp_path / "read", game.spans)
    return analysis.load_games(StoreReader(tmp_path / "read"))[0]


@pytest.fixture
def page(opened, game):
    return opened(game.spans)


def sections(page):
    return page.evaluate("[...document.querySelectorAll('main > section')].map((node) => node.id)")


def text(page, selector):
    return page.evaluate(f"document.querySelector({json.dumps(selector)})?.innerText")


def choose(page, label, option):
    """Choose in a select by the text of an option."""
    page.evaluate(
        f"""(() => {{
            const select = [...document.querySelectorAll('.filters select')].find((one) => one.ariaLabel === {json.dumps(label)});
            select.value = [...select.options].find((one) => one.text === {json.dumps(option)}).value;
            select.dispatchEvent(new Event('change'));
        }})()"""
    )


def listed(page):
    """How many the list has now."""
    said = text(page, "output")
    assert "searching" not in said
    return int(said.split()[0].replace(",", ""))


def search(page, words):
    page.evaluate(
        f"""(() => {{
            const box = document.querySelector('.filters input');
            box.value = {json.dumps(words)};
            box.dispatchEvent(new Event('input'));
        }})()"""
    )
    page._browser.pump(0.3)
    page.wait("!document.querySelector('output').textContent.includes('searching')")


def test_a_game_s_report_has_every_part_and_says_what_the_analysis_says(page, loaded):
    assert sections(page) == GAME_SECTIONS
    figures = dict(
        page.evaluate(
            "[...document.querySelectorAll('.figure')].map((n) => [n.children[0].innerText, n.innerText])"
        )
    )
    assert figures["Interactions"].split("\n")[1:] == [
        f"{loaded.totals.interactions}",
        f"{loaded.totals.failed_interactions} failed, {len(analysis.swallowed(loaded))} unnoticed",
    ]
    assert f"{loaded.totals.success_rate:.1%}" in figures["Success rate"]
    assert f"{loaded.totals.messages}" in figures["Messages"]
    for power in loaded.players:
        assert f"{power}\t" in text(page, "#powers table") or power in text(page, "#powers table")


def test_filters_find_what_the_store_has(page, loaded):
    records = list(loaded.all_interactions())
    assert listed(page) == len(records)
    choose(page, "Any power", "FRANCE")
    assert listed(page) == sum(record.power == "FRANCE" for record in records)
    choose(page, "Any type", "negotiation diary")
    expected = [r for r in records if (r.power, r.type) == ("FRANCE", "negotiation_diary")]
    assert listed(page) == len(expected)
    choose(page, "Any phase", "S1902M")
    assert listed(page) == sum(record.phase == "S1902M" for record in expected)
    page.evaluate("otelLlmReport.explore({state: 'failed'})")
    assert listed(page) == loaded.totals.failed_interactions
    page.evaluate("otelLlmReport.explore({state: 'invalid'})")
    assert listed(page) == len(analysis.with_invalid_orders(records))


def test_search_reads_everything_that_was_said(page, loaded):
    first = next(m for m in loaded.all_messages() if m.content)
    expected = [
        record
        for record in loaded.all_interactions()
        if any(m.content and first.content in m.content for m in record.messages)
        or any(first.content in text for call in record.calls for text in json_texts(call))
    ]
    search(page, first.content.upper())
    assert listed(page) == len(expected)
    search(page, "nobody ever said this")
    assert listed(page) == 0
    assert "Nothing fits" in text(page, ".list")


def json_texts(call):
    for messages in (call.input_messages, call.output_messages):
        for message in json.loads(messages or "[]"):
            yield from (part["content"] for part in message["parts"])


def test_a_number_of_who_wrote_to_whom_leads_to_the_messages(page, loaded):
    page.evaluate(
        "[...document.querySelectorAll('#letters button')].find((b) => /AUSTRIA to ENGLAND/.test(b.title)).click()"
    )
    expected = [
        record
        for record in loaded.all_interactions()
        if record.power == "AUSTRIA" and any("ENGLAND" in message.recipients for message in record.messages)
    ]
    assert listed(page) == len(expected) > 0


def test_the_keyboard_is_enough(page):
    page.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the interactions"
    page.press("Enter")
    for _ in range(12):
        page.press("Tab")
        if page.evaluate("document.activeElement.className") == "list":
            break
    assert page.evaluate("document.activeElement.getAttribute('role')") == "listbox"
    page.press("ArrowDown")
    page.press("ArrowDown")
    page.wait("document.querySelector('.detail .facts') !== null")
    first = text(page, ".detail .title")
    page.press("End")
    page.wait(f"document.querySelector('.detail .title').innerText !== {json.dumps(first)}")
    selected = (
        "document.getElementById(document.querySelector('.list').getAttribute('aria-activedescendant'))"
    )
    assert page.evaluate(f"{selected}.ariaPosInSet === {selected}.ariaSetSize")
    page.press("Enter")
    assert page.evaluate("document.activeElement.className").startswith("detail")
    page.press("Escape")
    assert page.evaluate("document.activeElement.className") == "list"


def test_everything_that_can_be_pressed_has_a_name_and_can_be_reached(page):
    nameless = page.evaluate(
        """[...document.querySelectorAll('button, select, input, a, [tabindex="0"]')].filter((node) =>
            !(node.textContent || node.ariaLabel || node.title || '').trim() || node.tabIndex < 0).map((n) => n.outerHTML.slice(0, 120))"""
    )
    assert nameless == []


def test_the_timeline_zooms_and_its_bars_lead_to_what_was_said(page):
    shown = "(() => { const z = echarts.getInstanceByDom(document.querySelector('#timeline .chart')).getOption().dataZoom[0]; return z.endValue - z.startValue; })()"
    whole = page.evaluate(shown)
    page.evaluate("document.querySelector('#timeline button[aria-label=\"Zoom in\"]').click()")
    assert page.evaluate(shown) == pytest.approx(whole / 2, rel=0.01)
    page.evaluate("document.querySelector('#timeline button[aria-label=\"Next phase\"]').click()")
    assert page.evaluate("document.querySelector('#timeline select').selectedOptions[0].text") == "S1901M"
    x, y, item = page.evaluate(
        """(() => {
            const node = document.querySelector('#timeline .chart'), box = node.getBoundingClientRect();
            const chart = echarts.getInstanceByDom(node), bar = chart.getOption().series[1].data[3];
            const [x, y] = chart.convertToPixel({ xAxisIndex: 0, yAxisIndex: 0 }, [(bar[0] + bar[1]) / 2, bar[2]]);
            return [box.x + x, box.y + y, bar[5]];
        })()"""
    )
    page.click(x, y)
    page.wait(f"location.hash === '#i-' + otelLlmReport.data.items.id[{item}]")
    assert page.evaluate("document.activeElement.className").startswith("detail")


def test_labels_of_the_centres_do_not_lie_on_each_other(opened):
    page = opened(Game(years=4).play().spans)
    page.evaluate("otelLlmReport.drawEverything()")
    boxes = page.evaluate(
        """echarts.getInstanceByDom(document.querySelector('#centres .chart')).getZr().storage.getDisplayList()
            .filter((shape) => shape.type === 'tspan' && /^[A-Z]{3,} \\d+$/.test(shape.style.text))
            .map((shape) => { const box = shape.getBoundingRect().clone(); box.applyTransform(shape.getComputedTransform()); return [box.y, box.y + box.height]; })"""
    )
    assert len(boxes) == 7
    boxes.sort()
    assert all(below[0] >= above[1] - 1 for above, below in pairwise(boxes))


CONTRAST = """(() => {
    const numbers = (colour) => { const p = colour.match(/[\\d.]+/g).map(Number); return p.length < 4 ? [...p, 1] : p; };
    const ground = (node) => {
        const layers = [];
        for (let one = node; one; one = one.parentElement) layers.push(numbers(getComputedStyle(one).backgroundColor));
        return layers.reverse().reduce((under, [r, g, b, a]) => under.map((u, i) => u * (1 - a) + [r, g, b][i] * a), [255, 255, 255]);
    };
    const light = (rgb) => { const [r, g, b] = rgb.map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const faint = [];
    for (const node of document.querySelectorAll('body *')) {
        if (![...node.childNodes].some((one) => one.nodeType === 3 && one.textContent.trim()) || !node.offsetParent || node.closest('svg, noscript, script, option, [disabled]')) continue;
        const back = ground(node), [a, b] = [light(numbers(getComputedStyle(node).color).slice(0, 3)), light(back)].sort((x, y) => y - x);
        const ratio = (a + 0.05) / (b + 0.05);
        if (ratio < 4.5) faint.push(`${ratio.toFixed(2)} ${node.tagName}.${node.className}: ${node.textContent.slice(0, 40)}`);
    }
    return faint;
})()"""


@pytest.mark.parametrize("dark", [False, True])
def test_all_text_stands_out_from_its_ground(opened, game, dark):
    page = opened(game.spans, dark=dark)
    failed = page.evaluate("otelLlmReport.data.items.state.indexOf(1)")
    page.evaluate(f"otelLlmReport.openItem({failed})")
    page.wait("document.querySelector('.detail .problem') !== null")
    assert page.evaluate("document.documentElement.dataset.theme") == ("dark" if dark else "light")
    assert page.evaluate(CONTRAST) == []


def test_the_colours_can_be_changed_and_the_place_is_kept(page):
    page.evaluate("otelLlmReport.explore({type: '1'})")
    page.evaluate("[...document.querySelectorAll('.masthead button')].at(-1).click()")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("document.querySelectorAll('.filters select')[2].value") == "1"


def test_on_a_phone_nothing_is_wider_than_it_and_a_conversation_covers_the_page(opened, game):
    page = opened(game.spans, width=390, height=844)
    page.evaluate("otelLlmReport.drawEverything()")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.evaluate("otelLlmReport.openItem(3)")
    page.wait("document.querySelector('.detail .facts') !== null")
    box = page.evaluate(
        "(() => { const b = document.querySelector('.detail').getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; })()"
    )
    assert box == [0, 0, 390, 844]
    page.press("Escape")
    assert page.evaluate("getComputedStyle(document.querySelector('.detail')).display") == "none"


def test_a_link_leads_to_an_interaction(opened, game):
    wanted = game.spans[40]
    while wanted.attributes.get(sc.SCOPE_KIND) != "interaction":
        wanted = game.spans[game.spans.index(wanted) + 1]
    page = opened(game.spans, fragment=f"#i-{wanted.span_id}")
    page.wait("document.querySelector('.detail .facts') !== null")
    assert wanted.attributes[sc.POWER_NAME] in text(page, ".detail .title")


def test_a_game_can_be_chosen_among_many(opened):
    made = [span for one in games(3, content=False) for span in one.spans]
    page = opened(made)
    assert {"games", "training"} <= set(sections(page))
    everything = listed(page)
    page.evaluate("document.querySelectorAll('#games button.plain')[1].click()")
    assert text(page, "h1") == "diplomacy · selfplay-002"
    assert "centres" in sections(page)
    assert 0 < listed(page) < everything


def test_calls_without_a_game_are_shown_by_model_and_trace(opened):
    page = opened(agent_trace())
    assert sections(page) == ["timeline", "traces", "latency", "spending", "trouble", "interactions"]
    assert listed(page) == 4
    assert "rate limit" in text(page, "#trouble")
    page.evaluate("document.querySelector('#traces button.plain').click()")
    assert (
        page.evaluate("document.querySelector('#interactions select[aria-label=\"Any trace\"]').value") == "0"
    )


def test_what_is_not_there_is_said_plainly(opened):
    game = Game(years=1, content=False).play()
    for span in game.spans:
        span.events.clear()
        for key in list(span.attributes):
            if key.startswith((sc.PHASE_CENTERS_PREFIX, sc.PHASE_UNITS_PREFIX, "game.orders.")) or key in {
                sc.POWER_CENTERS, sc.POWER_UNITS, sc.ERROR_TYPE, sc.ERROR_MESSAGE, sc.INTERACTION_ATTEMPT, sc.INTERACTION_SUCCESS
            }:  # fmt: skip
                del span.attributes[key]
        span.status = "unset"
    page = opened(game.spans)
    assert "No supply centres were recorded" in text(page, "#centres")
    assert "No messages between powers were recorded" in text(page, "#letters")
    assert "No orders were judged" in text(page, "#orders")
    assert "Nothing failed" in text(page, "#trouble")
    assert "OTEL_LLM_STORE_CONTENT=full" in text(page, "#interactions")


def test_a_game_in_which_nobody_was_asked_opens_too(opened):
    game = Game(years=1).play()
    page = opened([game.root, *game.phases])
    assert "Nothing happened" in text(page, "#timeline")
    assert "There is nothing to list" in text(page, ".list")


def test_long_texts_are_folded_and_unfold(page):
    page.evaluate("otelLlmReport.openItem(2)")
    page.wait("document.querySelector('.detail .text.long') !== null")
    page.evaluate("document.querySelector('.detail .turn button').click()")
    assert page.evaluate("document.querySelector('.detail .text.long')") is None


@pytest.mark.slow
def test_ten_thousand_interactions_open_in_two_seconds_and_only_those_in_sight_exist(opened):
    page = opened(Game(rounds=4, words=900).play(10_000).spans)
    assert page.evaluate("Number(document.documentElement.dataset.interactive)") < 2000
    assert listed(page) >= 10_000
    page.evaluate("document.querySelector('.list').scrollTop = 1e9")
    page.wait(
        "[...document.querySelectorAll('.item')].some((node) => node.ariaPosInSet === node.ariaSetSize)"
    )
    assert page.evaluate("document.querySelectorAll('.item').length") < 40
