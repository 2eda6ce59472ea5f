"""What models and programs say is data: in the file, where it stands, and in a browser that would run it."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_llm import semconv as sc
from otel_llm.report.page import Assets
from otel_llm.report.strict_json import dumps, for_script
from tests.report.document import Page
from tests.report.games import Game

HOSTILE = (
    "</script><script>globalThis.pwned='script'</script>",
    "<img src=x onerror=\"globalThis.pwned='img'\">",
    "\"'><svg onload=globalThis.pwned='svg'>",
    "javascript:globalThis.pwned='url'",
    "<!--<script>",
    "]]></style><style>*{display:none}</style>",
    "<iframe srcdoc=\"<script>parent.pwned='frame'</script>\"></iframe>",
    "{{script}}${globalThis.pwned=1}`",
    "\u2028\u2029\u202e\x00\x1b]0;x\x07",
    "<base href=//127.0.0.1/><form action=//127.0.0.1/><button>",
)


def hostile_game():
    """A game in which everything that is a text is hostile."""
    game = Game(years=1, id=HOSTILE[0]).play()
    names = {power: HOSTILE[number % len(HOSTILE)] + str(number) for number, power in enumerate(
        ("AUSTRIA", "ENGLAND", "FRANCE", "GERMANY", "ITALY", "RUSSIA", "TURKEY"))}  # fmt: skip

    def spoil(value):
        if isinstance(value, tuple):
            return tuple(spoil(one) for one in value)
        if not isinstance(value, str) or value in {"game", "phase", "interaction", sc.CHAT}:
            return value
        if value == HOSTILE[0]:
            return value
        if value in names:
            return names[value]
        return f"{value}{HOSTILE[len(value) % len(HOSTILE)]}"

    plain = {sc.SCOPE_KIND, sc.OPERATION_NAME, sc.GAME_ID, sc.PHASE_TYPE, sc.GAME_STATUS}
    messages = {sc.INPUT_MESSAGES, sc.OUTPUT_MESSAGES, sc.SYSTEM_INSTRUCTIONS}
    for span in game.spans:
        span.name = spoil(span.name)
        spoilt = {}
        for key, value in span.attributes.items():
            power = key.removeprefix(sc.PHASE_CENTERS_PREFIX).removeprefix(sc.PHASE_UNITS_PREFIX)
            new = key.replace(power, names[power]) if power != key and power in names else key
            if key in messages:
                value = value.replace("Task:", "Task: " + HOSTILE[1].replace('"', "'") + HOSTILE[0])
            elif key not in plain:
                value = spoil(value)
            spoilt[new] = value
        spoilt[f"otel_llm.custom.{HOSTILE[2]}"] = HOSTILE[1]
        span.attributes = spoilt
        for event in span.events:
            event.attributes.update({key: spoil(value) for key, value in event.attributes.items()})
    return game.spans


# --- in the file ----------------------------------------------------------------------------------


def test_no_text_can_end_the_element_it_stands_in(report):
    page = Page(report(hostile_game()))
    kinds = [
        attributes.get("id") or attributes.get("class") or attributes.get("type")
        for attributes, _ in page.scripts
    ]
    assert kinds[:3] == ["report-data", None, None]
    assert set(kinds[3:]) == {"chunk"}
    assert [tag for tag, _ in page.tags if tag not in {"script", "meta"}] == [
        "html", "head", "title", "style", "body", "a", "div", "noscript", "p",
    ]  # fmt: skip
    assert page.data["games"][0]["id"] == HOSTILE[0]  # it is there, as it was


@given(st.text() | st.lists(st.text()) | st.dictionaries(st.text(), st.sampled_from(HOSTILE)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_json_in_a_script_means_the_same_and_holds_nothing_that_html_would_read(value):
    import json

    text = for_script(value).decode()
    assert not re.search("[<>&\u2028\u2029]", text)
    assert json.loads(text) == json.loads(dumps(value))


def test_only_our_scripts_and_styles_may_run_and_nothing_may_be_loaded(report, game):
    page = Page(report(game.spans))
    rules = dict(rule.strip().split(" ", 1) for rule in page.policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert re.fullmatch(r"'sha256-[\w+/=]{44}' 'sha256-[\w+/=]{44}'", rules["script-src"])
    assert re.fullmatch(r"'sha256-[\w+/=]{44}'", rules["style-src"])
    assert rules["require-trusted-types-for"] == "'script'"
    assert rules["img-src"] == "data:"
    assert "unsafe" not in page.policy
    assert not re.search(r'(?:src|href)="(?!#)', page.text.replace(Assets().library, ""))


def test_our_scripts_have_no_way_to_make_markup_of_text():
    script = Assets().script
    for sink in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "srcdoc",
    ):
        assert sink not in script, sink


# --- in a browser ---------------------------------------------------------------------------------


@pytest.fixture
def hostile(opened):
    page = opened(hostile_game())
    page.evaluate("otelLlmReport.drawEverything()")
    return page


INERT = """(() => {
    const found = [...document.querySelectorAll('img, iframe, object, embed, form, base, link, video, audio')];
    const odd = [...document.querySelectorAll('*')].filter((node) =>
        [...node.attributes].some((one) => /^on/i.test(one.name) || /^\\s*javascript:/i.test(one.value) && one.name !== 'title'
            && one.name !== 'aria-label' && one.name !== 'value'));
    return { pwned: globalThis.pwned, found: found.length, odd: odd.map((node) => node.outerHTML.slice(0, 200)) };
})()"""


@pytest.mark.browser
def test_markup_in_names_and_words_does_not_run(hostile):
    assert hostile.evaluate(INERT) == {"found": 0, "odd": []}
    assert hostile.evaluate("document.querySelector('h1').textContent").endswith(HOSTILE[0])
    body = hostile.evaluate("document.body.textContent")
    for text in (HOSTILE[1], HOSTILE[2], HOSTILE[3]):
        assert text in body


@pytest.mark.browser
def test_markup_in_conversations_does_not_run(hostile):
    for item in range(0, hostile.evaluate("otelLlmReport.data.items.n"), 5):
        hostile.evaluate(f"otelLlmReport.openItem({item})")
        hostile.wait(f"location.hash === '#i-' + otelLlmReport.data.items.id[{item}]")
        hostile.wait("document.querySelector('.detail .facts') !== null")
        assert hostile.evaluate(INERT) == {"found": 0, "odd": []}
    assert HOSTILE[0] in hostile.evaluate("document.querySelector('.detail').textContent")


@pytest.mark.browser
def test_markup_in_tooltips_does_not_run(hostile):
    shown = hostile.evaluate(
        """(async () => {
            const said = [];
            for (const node of document.querySelectorAll('.chart')) {
                const chart = echarts.getInstanceByDom(node);
                for (let series = 0; series < chart.getOption().series.length; series++)
                    for (const dataIndex of [0, 1, 5]) {
                        chart.dispatchAction({ type: 'showTip', seriesIndex: series, dataIndex });
                        await new Promise((done) => setTimeout(done, 20));
                        said.push(...[...node.querySelectorAll('.tip')].map((one) => one.textContent));
                    }
            }
            return said;
        })()"""
    )
    assert any("<img src=x onerror" in text for text in shown)
    assert hostile.evaluate(INERT) == {"found": 0, "odd": []}


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_hostile_names_do_not_break_the_page_apart(opened, width):
    page = opened(hostile_game(), width=width)
    assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.browser
def test_the_policy_holds_even_where_a_script_of_ours_would_err(browser, report, game):
    page = browser.open(report(game.spans))
    page.wait("document.documentElement.dataset.interactive")
    outcome = page.evaluate(
        """(async () => {
            const refused = {};
            const tries = {
                markup: () => { document.body.innerHTML += "<img src=x onerror='globalThis.pwned=1'>"; },
                insert: () => document.body.insertAdjacentHTML('beforeend', "<svg onload='globalThis.pwned=1'>"),
                handler: () => document.body.setAttribute('onclick', 'globalThis.pwned=1'),
                code: () => setTimeout('globalThis.pwned=1'),
            };
            for (const [name, run] of Object.entries(tries)) {
                try { run(); refused[name] = false; } catch (error) { refused[name] = error instanceof TypeError || String(error); }
            }
            for (const make of [
                () => Object.assign(document.createElement('img'), { src: 'http://127.0.0.1:9/x.png' }),
                () => Object.assign(document.createElement('a'), { href: 'javascript:globalThis.pwned=1', textContent: 'x' }),
            ]) { const node = make(); document.body.append(node); node.click(); }
            refused.fetch = await fetch('http://127.0.0.1:9/').then(() => false, () => true);
            await new Promise((done) => setTimeout(done, 200));
            return { ...refused, pwned: globalThis.pwned ?? null };
        })()"""
    )
    assert outcome == {
        "markup": True,
        "insert": True,
        "handler": True,
        "code": True,
        "fetch": True,
        "pwned": None,
    }
    refused = [line for line in page.console if "Content Security Policy" in line]
    assert refused  # Chromium says why
    page.close()
