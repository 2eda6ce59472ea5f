"""The report on a training run as people see it: opened in a browser, clicked, typed into, looked at in the dark."""

import re

import pytest

from otel_llm import semconv as sc
from otel_llm.report.training import write_run
from otel_llm.store import StoreReader
from tests.report.test_in_chromium import CONTRAST
from tests.report.test_training_document import EVERYTHING, hostile_run
from tests.report.test_untrusted import HOSTILE, INERT
from tests.report.training import Run

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def run():
    """A resumed run with every fault; nobody changes it."""
    return Run(steps=8, attempts=2, resumed_at=3, faults=EVERYTHING).train()


@pytest.fixture
def opened(browser, tmp_path):
    """Open the report on a run, wait until it can be used, and see at the end that nothing went wrong in it."""
    pages = []

    def make(run, *, fragment="", options=None, **page):
        where = tmp_path / f"run-{len(pages)}"
        where.mkdir()
        path = write_run(
            StoreReader(run.write(where / "store")), run.id, where / "run.html", **(options or {})
        ).path
        shown = browser.open(path, fragment, **page)
        pages.append((shown, path))
        shown.wait("document.documentElement.dataset.interactive")
        shown.wait("document.documentElement.dataset.step ?? otelLlmReport.data.steps.rows === 0")
        return shown

    yield make
    for page, path in pages:
        faults = page.errors, page.console, page.dialogs
        asked = [url.partition("#")[0] for url in page.requests]
        page.close()
        assert faults == ([], [], [])
        assert set(asked) == {path.as_uri()}


@pytest.fixture
def page(opened, run):
    return opened(run)


def text(page, selector):
    return page.evaluate(f"document.querySelector({selector!r})?.innerText")


def listed(page):
    return int(
        page.evaluate("document.querySelector('#rollouts output').textContent").split()[0].replace(",", "")
    )


def open_rollout(page, number):
    page.evaluate(f"otelLlmReport.openItem({number})")
    page.wait(f"document.querySelector('.detail').dataset.item === '{number}'")


def test_the_page_shows_every_part_of_the_run(page):
    sections = page.evaluate("[...document.querySelectorAll('main > section')].map((one) => one.id)")
    assert sections == [
        "reward",
        "curves",
        "numbers",
        "time",
        "step",
        "rollouts",
        "groups",
        "trouble",
        "settings",
    ]
    assert text(page, "h1") == "sums · sums-7"
    assert "killed" in text(page, ".masthead")
    page.evaluate("otelLlmReport.drawEverything()")
    drawn = page.evaluate(
        "[...document.querySelectorAll('.chart')].map((one) => one.getAttribute('aria-label'))"
    )
    assert {
        "Mean reward of each step", "Mean of each reward component", "KL divergence", "Entropy", "Length", "Loss",
        "Gradient norm", "Learning rate", "Groups without spread", "Time split of the steps",
    } <= set(drawn)  # fmt: skip
    assert page.evaluate("document.querySelectorAll('.chart canvas').length") == len(drawn)


def test_the_last_step_is_picked_at_first_and_a_click_on_a_curve_picks_another(page):
    assert text(page, "#step h2") == "Step 8"
    page.evaluate("document.querySelector('#reward').scrollIntoView()")
    x, y, width = page.evaluate(
        "(() => { const b = document.querySelector('#reward .chart').getBoundingClientRect(); return [b.x, b.y, b.width]; })()"
    )
    page.click(x + 56 + (width - 68) * 1 / 7, y + 150)  # the second of eight steps
    page.wait("document.documentElement.dataset.step === '2'")
    assert text(page, "#step h2") == "Step 2"
    assert "Step 2" in text(page, "#rollouts .filters")
    assert listed(page) == 16


def axes(page, label):
    """Return the values that a chart's y axis goes from and to, and the steps that its x axis names."""
    return page.evaluate(
        f"""(() => {{
            const model = echarts.getInstanceByDom(document.querySelector('.chart[aria-label="{label}"]')).getModel();
            const axis = (name) => model.getComponent(name).axis;
            return [axis('yAxis').scale.getExtent(), axis('xAxis').getViewLabels().map((one) => one.formattedLabel)];
        }})()"""
    )


def test_a_share_goes_from_nought_to_all_and_what_is_always_the_same_has_its_value_on_the_axis(opened):
    made = Run(steps=8, groups=2, size=4).train()
    for span in made.all_spans():
        if sc.TRAIN_LEARNING_RATE in span.attributes:
            span.attributes[sc.TRAIN_LEARNING_RATE] = span.attributes[
                sc.TRAIN_METRICS_PREFIX + "learning_rate"
            ] = 0.003
        if span.attributes.get(sc.SAMPLE_GROUP, "").endswith("g0"):
            span.attributes[sc.SAMPLE_REWARD] = 0.5  # of both ranks: half of the groups have no spread
    for rows in made.rows.values():
        rows[:] = [row for row in rows if row.name != "learning_rate"]
    page = opened(made)
    page.evaluate("otelLlmReport.drawEverything()")
    assert axes(page, "Groups without spread")[0] == [0, 1]
    assert axes(page, "Learning rate")[0] == [0, 0.006]


@pytest.mark.parametrize(
    ("steps", "named"),
    [
        (1, ["1"]),
        (8, ["1", "2", "3", "4", "5", "6", "7", "8"]),
        (30, ["1", "5", "10", "15", "20", "25", "30"]),
        (120, ["1", "20", "40", "60", "80", "100", "120"]),
    ],
)
def test_an_axis_names_round_steps(opened, steps, named):
    page = opened(Run(steps=steps, ranks=1, groups=1, size=2).train())
    assert axes(page, "Mean reward of each step")[1] == named


def test_the_step_that_is_picked_is_marked_and_all_steps_come_back_after_a_zoom(page):
    def chart(what):
        return page.evaluate(f"echarts.getInstanceByDom(document.querySelector('#reward .chart')){what}")

    marks = ".getOption().series.map((one) => one.markLine?.data[0]?.xAxis)"
    assert chart(marks)[-1] == 7
    page.evaluate("otelLlmReport.pick(0)")
    assert chart(marks)[-1] == 0
    shown = (
        "(getComputedStyle([...document.querySelectorAll('#reward .tools button')][0]).display !== 'none')"
    )
    assert page.evaluate(shown) is False
    chart(".dispatchAction({ type: 'dataZoom', start: 20, end: 60 })")
    page.wait(shown)
    page.evaluate("document.querySelector('#reward .tools button').click()")
    page.wait(f"!{shown}")
    assert chart(".getOption().dataZoom.map((one) => [one.start, one.end])") == [[0, 100]]


def test_a_step_shows_where_each_ranks_time_went_and_its_best_and_worst(page, run):
    page.evaluate("otelLlmReport.pick(1)")
    page.wait("document.documentElement.dataset.step === '2'")
    rows = page.evaluate("[...document.querySelectorAll('#step tbody')][0].innerText")
    assert "rank 0" in rows
    assert "node-0 cuda:1" in rows
    bars = page.evaluate("[...document.querySelectorAll('#step .bar.ranks')].map((one) => one.title)")
    assert len(bars) == 2
    assert all("generation" in one and "backward" in one for one in bars)
    scores = {
        s.attributes[sc.SAMPLE_ID]: s.attributes[sc.SAMPLE_REWARD]
        for s in run.all_spans()
        if s.name == "rollout" and s.attributes[sc.TRAIN_STEP] == 2 and sc.SAMPLE_REWARD in s.attributes
    }
    picks = page.evaluate(
        "[...document.querySelectorAll('#step .picks')].map((one) => [...one.querySelectorAll('button')].map((b) => b.textContent))"
    )
    assert [scores[one] for one in picks[0]] == sorted(scores.values(), reverse=True)[:5]
    assert [scores[one] for one in picks[1]] == sorted(scores.values())[:5]
    assert "OutOfMemoryError: CUDA out of memory" in text(page, "#step")


def test_a_rank_that_died_is_named_in_its_step(page):
    page.wait("document.querySelector('#step .problem') !== null")
    assert "rank 1 did not come back from logprobs" in text(page, "#step")


def test_a_step_that_was_done_again_lets_one_choose_the_attempt(page):
    row = page.evaluate("otelLlmReport.data.steps.number.lastIndexOf(4)")
    page.evaluate(f"otelLlmReport.pick({row})")
    page.wait("document.querySelector('#step .segments') !== null")
    page.evaluate("document.querySelector('#step .segments button').click()")
    page.wait("document.querySelector('#step .segments [aria-pressed=true]').textContent === 'Attempt 1'")


def test_a_rollout_shows_its_words_its_reward_and_its_way_to_the_loss(page, run):
    number = page.evaluate("otelLlmReport.data.rollouts.name.indexOf('2-1-6')")
    open_rollout(page, number)
    shown = text(page, ".detail")
    span = next(s for s in run.all_spans() if s.attributes.get(sc.SAMPLE_ID) == "2-1-6")
    assert "What is " in shown
    assert "the answer was" in shown
    assert f"{span.attributes[sc.SAMPLE_REWARD]:.4g}" in shown
    loss = next(s for s in run.all_spans() if span.span_id in run.consumed.get(s.span_id, ()))
    assert (
        f"loss on rank 1, micro-batch {loss.attributes[sc.TRAIN_MICRO_STEP]}, together with 3 more" in shown
    )
    assert loss.span_id in shown
    assert "made" not in shown or "weights" in shown
    assert page.evaluate("document.querySelectorAll('.siblings button').length") == 4


def test_the_way_to_the_loss_names_the_update(opened):
    run = Run(steps=1, ranks=1, groups=1, size=2, micro=2).train()
    for loss in (s for s in run.all_spans() if s.name == "loss"):
        loss.attributes[sc.TRAIN_UPDATE] = 1_007 + loss.attributes[sc.TRAIN_MICRO_STEP]
    page = opened(run)
    open_rollout(page, 0)
    assert re.search(r"loss on rank 0, micro-batch ([01]), update 1,00[78], alone", text(page, ".detail"))


def test_a_link_leads_to_a_rollout(opened, run):
    page = opened(run, fragment="#r-20")
    page.wait("document.querySelector('.detail').dataset.item === '20'")
    assert text(page, ".detail .title > span") == page.evaluate("otelLlmReport.data.rollouts.name[20]")


def test_rollouts_are_sorted_filtered_and_searched_in_what_was_said(page):
    page.evaluate("otelLlmReport.explore({ step: '', sort: 'worst' })")
    assert listed(page) == 160
    rewards = page.evaluate("otelLlmReport.data.rollouts.reward.filter((one) => one !== null)")
    assert (
        page.evaluate("document.querySelector('.item .what').firstChild.textContent") == f"{min(rewards):.4g}"
    )
    page.evaluate("otelLlmReport.explore({ step: '', flag: '2' })")
    assert listed(page) == 10
    page.evaluate("otelLlmReport.explore({ step: '' })")
    page.evaluate("document.querySelector('#rollouts input[type=search]').focus()")
    page.type("no such words")
    page.wait("document.querySelector('#rollouts output').textContent.startsWith('0 of')")
    page.evaluate("otelLlmReport.explore({ step: '', text: 'it is' })")
    page.wait("!document.querySelector('#rollouts output').textContent.includes('searching')")
    assert 0 < listed(page) < 160


def test_the_list_is_worked_with_the_keyboard(page):
    page.evaluate("document.querySelector('.list').focus()")
    page.press("ArrowDown")
    page.press("ArrowDown")
    page.wait("document.querySelector('.detail').dataset.item !== undefined")
    assert page.evaluate("document.querySelector('.item[aria-selected=true]').ariaPosInSet") == "2"


def test_a_group_without_spread_leads_to_its_rollouts(page):
    page.evaluate("document.querySelector('#groups tbody tr').click()")
    page.wait("document.querySelector('.detail').dataset.item !== undefined")
    assert listed(page) == 4
    assert "in a group without spread" in text(page, ".detail .title")


@pytest.mark.parametrize("dark", [False, True])
def test_all_text_stands_out_from_its_ground(opened, run, dark):
    page = opened(run, dark=dark)
    open_rollout(page, 4)
    assert page.evaluate("document.documentElement.dataset.theme") == ("dark" if dark else "light")
    assert page.evaluate(CONTRAST) == []


def test_the_colours_can_be_changed_and_the_place_is_kept(page):
    page.evaluate("otelLlmReport.pick(0)")
    page.evaluate("otelLlmReport.explore({ step: 0, sort: 'surprise' })")
    page.evaluate("[...document.querySelectorAll('.masthead button')].at(-1).click()")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert text(page, "#rollouts .filters [aria-pressed=true]") == "Step 1"


def test_on_a_phone_nothing_is_wider_than_it_and_a_rollout_covers_the_page(opened, run):
    page = opened(run, width=390, height=844)
    page.evaluate("otelLlmReport.drawEverything()")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    open_rollout(page, 3)
    box = page.evaluate(
        "(() => { const b = document.querySelector('.detail').getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; })()"
    )
    assert box == [0, 0, 390, 844]
    page.press("Escape")
    assert page.evaluate("getComputedStyle(document.querySelector('.detail')).display") == "none"


def test_what_is_not_there_is_said_plainly(opened):
    made = Run(steps=3, ranks=1, content=False, series=False).train()
    for span in made.all_spans():
        for key in list(span.attributes):
            if key.startswith((sc.TRAIN_METRICS_PREFIX, sc.SAMPLE_REWARDS_PREFIX, sc.TRAIN_TIME_PREFIX)) or key in {
                sc.SAMPLE_REWARD, sc.SAMPLE_ADVANTAGE, sc.SAMPLE_GROUP, sc.TRAIN_LOSS, sc.TRAIN_GRAD_NORM, sc.TRAIN_LEARNING_RATE
            }:  # fmt: skip
                del span.attributes[key]
        span.events.clear()
        span.links.clear()
    page = opened(made)
    assert "No rewards were recorded" in text(page, "#reward")
    assert "None of its rollouts has a reward" in text(page, "#step")
    assert "OTEL_LLM_STORE_CONTENT=full" in text(page, "#rollouts")
    open_rollout(page, 0)
    assert "no loss says that it learned from it" in text(page, ".detail")


def test_a_run_without_steps_opens_too(opened):
    page = opened(Run(id="empty", steps=0, ranks=1).train())
    assert "There is nothing to list" in text(page, ".list")


def test_markup_in_names_and_words_does_not_run(opened):
    page = opened(hostile_run())
    page.evaluate("otelLlmReport.drawEverything()")
    for number in range(0, page.evaluate("otelLlmReport.data.rollouts.n"), 5):
        open_rollout(page, number)
        assert page.evaluate(INERT) == {"found": 0, "odd": []}
    assert HOSTILE[0] in page.evaluate("document.body.textContent")
    page.evaluate(
        """(async () => { for (const node of document.querySelectorAll('.chart')) {
            const chart = echarts.getInstanceByDom(node);
            for (let i = 0; i < chart.getOption().series.length; i++) chart.dispatchAction({ type: 'showTip', seriesIndex: i, dataIndex: 1 });
            await new Promise((done) => setTimeout(done, 10));
        } })()"""
    )
    assert page.evaluate(INERT) == {"found": 0, "odd": []}
    assert page.evaluate("document.documentElement.scrollWidth") == 1280


@pytest.mark.slow
def test_a_thousand_steps_of_64_rollouts_open_in_two_seconds_and_only_rows_in_sight_exist(opened):
    page = opened(Run(steps=1000, groups=4, size=8, words=4).train())
    assert page.evaluate("Number(document.documentElement.dataset.interactive)") < 2000
    page.evaluate("otelLlmReport.explore({ step: '' })")
    assert listed(page) == 64_000
    page.evaluate("document.querySelector('.list').scrollTop = 1e9")
    page.wait(
        "[...document.querySelectorAll('.item')].some((node) => node.ariaPosInSet === node.ariaSetSize)"
    )
    assert page.evaluate("document.querySelectorAll('.item').length") < 40
