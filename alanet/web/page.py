"""The layout of the page and its events, in Gradio.

video -> facts -> one moment, before and after -> options -> restore -> progress -> result
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any

import gradio as gr

from alanet.errors import AlanetError
from alanet.model.weights import default_model
from alanet.web import markup
from alanet.web.controls import ADVANCED, MAIN, Control, controls
from alanet.web.jobs import WebJob, owner_of
from alanet.web.safety import COOKIE, TOKEN
from alanet.web.view import View

__all__ = ["asset", "build_page", "theme"]

EVERY = 1.0  # seconds between two looks at the progress
ACTIVE = ("waiting", "running")
MORE = "Advanced options"
CONFIRM = '(id, sure) => [id, confirm("Delete this video and its result?")]'
# In the browser, see page.js: which button has the focus, and which of two estimates is the last one asked for.
WATCH, FOCUS = "() => alanet.watchFocus()", "() => alanet.keepFocus()"
ASK, SEND, ARRIVED = "() => alanet.ask()", "(...given) => alanet.send(given)", "() => alanet.arrived()"
# Values come as they are sent and are checked where they are used: Gradio's check prints a traceback for a wrong one.
RAW: dict[str, Any] = {"api_visibility": "private", "preprocess": False}
QUIET: dict[str, Any] = {"show_progress": "hidden", **RAW}


def build_page(view: View) -> gr.Blocks:
    """The page, ready to be served."""
    return _Page(view).blocks


def asset(name: str) -> str:
    """The text of a file beside this module."""
    return (resources.files("alanet.web") / name).read_text("utf-8")


def theme() -> Any:
    """System fonts, muted colours; nothing is loaded from elsewhere."""
    fonts = ["system-ui", "-apple-system", "Segoe UI", "sans-serif"]
    return gr.themes.Base(
        primary_hue="teal", neutral_hue="slate", font=fonts, font_mono=["ui-monospace", "monospace"]
    ).set(
        body_background_fill="white",
        body_background_fill_dark="#14181a",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_padding="0px",
        block_label_text_color="#1d2327",
        block_title_text_color="#1d2327",
        block_title_text_color_dark="#e6eaec",
        block_title_text_weight="600",
        block_info_text_color="#5c666d",
        block_info_text_color_dark="#9aa5ac",
        input_background_fill="#f4f6f7",
        input_background_fill_dark="#1c2124",
        button_primary_background_fill="#0f6b6b",
        button_primary_background_fill_hover="#0b5757",
        button_primary_background_fill_dark="#4fb8b3",
        button_primary_background_fill_hover_dark="#6cc9c4",
        button_primary_text_color="white",
        button_primary_text_color_dark="#10201f",
        checkbox_label_background_fill="#f4f6f7",
        checkbox_label_background_fill_dark="#1c2124",
        checkbox_label_background_fill_hover="#e8edee",
        checkbox_label_background_fill_hover_dark="#262c30",
        checkbox_background_color_selected="#0f6b6b",
        checkbox_background_color_selected_dark="#2f8f8a",
        checkbox_border_color="#5c666d",
        checkbox_border_color_dark="#9aa5ac",
        slider_color="#0f6b6b",
        slider_color_dark="#4fb8b3",
        layout_gap="20px",
    )


class _Page:
    """The components, and what happens when they are used. `current` is the number of the job that is shown."""

    def __init__(self, view: View) -> None:
        self.view, self.jobs, self.worker = view, view.jobs, view.worker
        self.options = self.jobs.options
        with gr.Blocks(title="alanet", analytics_enabled=False) as self.blocks:
            self._lay_out()
            self._connect()

    def _lay_out(self) -> None:
        script = asset("page.js")
        gr.HTML('<h1>alanet</h1><p class="lead">Sharper video at a higher frame rate.</p>', js_on_load=None)
        self.upload = gr.HTML(markup.upload(self.options, compact=False), js_on_load=script)
        self.videos = gr.Radio([], label="Your videos", visible=False)
        self.current, self.shown = gr.State(None), gr.State("")
        with gr.Column(visible=False) as self.work:
            self.facts = gr.HTML(js_on_load=script)
            self.moment = gr.Slider(0, 1, value=0, step=0.01, label="Time of the preview", elem_id="moment")
            self.compare = gr.HTML(js_on_load=script, elem_id="compare")
            self.fields = self._controls()
            self.estimate = gr.HTML(js_on_load=None, elem_id="estimate")
            with gr.Row():
                self.restore = gr.Button("Restore", variant="primary", elem_id="restore")
                self.cancel = gr.Button("Cancel", visible=False, elem_id="cancel")
            self.status = gr.HTML(js_on_load=None)
            self.result = gr.HTML(js_on_load=script)
            self.delete = gr.Button("Delete this video", size="sm", elem_id="delete", scale=0)
            self.sure = gr.Checkbox(visible=False)  # what the visitor answers
        gr.HTML(markup.footer(self.options), js_on_load=None)
        self.timer = gr.Timer(EVERY, active=False)

    def _controls(self) -> dict[str, Any]:
        chosen = self.worker.network.model or default_model()
        described = controls(self.worker.models, chosen if chosen in self.worker.models else default_model())
        made = {}
        for names in (MAIN[:3], MAIN[3:]):
            with gr.Row(elem_classes="options"):
                for name in names:
                    made[name] = _drawn(described[name])
        with gr.Accordion(MORE, open=False), gr.Row(elem_classes="options"):
            for name in ADVANCED:
                made[name] = _drawn(described[name])
        return made

    def _connect(self) -> None:
        fields = list(self.fields.values())
        whole = [
            *(self.upload, self.videos, self.current, self.shown, self.work, self.facts, self.moment, self.compare),
            *(self.estimate, self.restore, self.cancel, self.status, self.result, self.delete, self.timer, *fields),
        ]
        self.rest = len(whole) - 5  # parts that are hidden without a job
        moving = [self.restore, self.cancel, self.status, self.result, self.delete, self.timer, self.shown, self.videos]
        looks = [self.compare, self.estimate, self.moment]
        given = [self.current, self.moment, *fields]
        # The progress of Gradio covers the pictures only: over the estimate it would catch clicks on the button below.
        shown: dict[str, Any] = {"show_progress_on": self.compare, **RAW}
        opened = [
            self.blocks.load(self.open_latest, None, whole, **QUIET),
            self.upload.uploaded(self.open_latest, None, whole, **QUIET),
            self.videos.input(self.open_chosen, [self.videos], whole, **QUIET),
            self.delete.click(
                self.remove, [self.current, self.sure], whole, js=CONFIRM, trigger_mode="multiple", **QUIET
            ),
        ]
        for event in opened:
            event.then(self.show_facts, [self.current], [self.facts], **QUIET).then(
                self.show_moment, given, looks, js=SEND, **shown
            ).then(None, js=ARRIVED, **QUIET)
        self.blocks.load(None, js=WATCH, **QUIET)
        self.moment.input(self.show_compared, given, [self.compare], trigger_mode="always_last", **shown)
        typed = [field for field in fields if isinstance(field, gr.Textbox | gr.Number)]  # read once, not at every key
        changes = [field.input for field in fields if field not in typed]
        changes += [change for field in typed for change in (field.blur, field.submit)]
        gr.on(changes, None, js=ASK, **QUIET)
        gr.on(changes, self.show_moment, given, looks, js=SEND, trigger_mode="always_last", **shown).then(
            None, js=ARRIVED, **QUIET
        )
        self.estimate.change(None, js=ARRIVED, **QUIET)
        # Said by the browser: the answer to a click comes after the pictures that are being made.
        self.restore.click(None, None, self.status, js=f"() => {json.dumps(markup.running(None))}", **QUIET)
        self.restore.click(self.start, [self.current, *fields], [*moving, self.estimate], **QUIET).then(
            None, js=FOCUS, **QUIET
        )
        self.cancel.click(self.stop, [self.current], moving, **QUIET).then(None, js=FOCUS, **QUIET)
        self.timer.tick(self.follow, [self.current, self.shown], moving, **QUIET).then(None, js=FOCUS, **QUIET)

    def open_latest(self, request: gr.Request) -> list[Any]:
        """The page of the visitor's running or latest job."""
        own = self.jobs.of(_owner(request))
        return self._whole(request, own[0] if own else None)

    def open_chosen(self, id: str, request: gr.Request) -> list[Any]:
        return self._whole(request, self.jobs.find(_owner(request), id))

    def remove(self, id: str, sure: bool, request: gr.Request) -> list[Any]:
        job = self.jobs.find(_owner(request), id)
        if job is None or job.state in ACTIVE or sure is not True:
            return [gr.skip()] * (self.rest + 5)
        self.jobs.delete(job)
        return self.open_latest(request)

    def show_facts(self, id: str, request: gr.Request) -> Any:
        job = self.jobs.find(_owner(request), id)
        return gr.skip() if job is None else self.view.look(job)

    def show_moment(self, request: gr.Request, id: str, at: float, *values: Any) -> Iterator[list[Any]]:
        """The estimate, or what is wrong with the options; then the pictures, which take longer."""
        job = self.jobs.find(_owner(request), id)
        if job is None:
            yield [gr.skip()] * 3
            return
        given = self._values(values)
        moments = self.view.moments(job, given)
        estimate, refused = self.view.estimate(job, given)
        yield [gr.skip(), estimate, gr.update(maximum=moments.last, step=moments.step)]
        if not refused:
            yield [self.view.compare(job, given, _number(at)), gr.skip(), gr.skip()]

    def show_compared(self, request: gr.Request, id: str, at: float, *values: Any) -> Any:
        job = self.jobs.find(_owner(request), id)
        return gr.skip() if job is None else self.view.compare(job, self._values(values), _number(at))

    def start(self, request: gr.Request, id: str, *values: Any) -> list[Any]:
        """Queue the job, or say why its options cannot be used."""
        job = self.jobs.find(_owner(request), id)
        if job is None or job.state in ACTIVE:
            return _refused(gr.skip())
        given = self._values(values)
        estimate, refused = self.view.estimate(job, given)
        if refused:
            return _refused(estimate)
        try:
            job = self.jobs.enqueue(job, given)
        except AlanetError as error:  # two pages of one visitor at once
            return _refused(markup.failure(str(error)))
        self.worker.wake()
        return [*self._moving(request, job, ""), gr.skip()]

    def stop(self, id: str, request: gr.Request) -> list[Any]:
        job = self.jobs.find(_owner(request), id)
        if job is None:
            return [gr.skip()] * 8
        self.worker.cancel(job)
        return self._moving(request, self.jobs.get(job.id) or job, "")

    def follow(self, id: str, shown: str, request: gr.Request) -> list[Any]:
        """The progress, once a second; what has not changed is not sent."""
        job = self.jobs.find(_owner(request), id)
        return [gr.skip()] * 8 if job is None else self._moving(request, job, shown)

    def _values(self, values: Sequence[Any]) -> dict[str, Any]:
        return dict(zip(self.fields, values, strict=True))

    def _videos(self, request: gr.Request, job: WebJob | None) -> Any:
        own = self.jobs.of(_owner(request))
        choices = [(f"{other.name}, {markup.STATES[other.state]}", other.id) for other in own]
        return gr.update(choices=choices, value=job.id if job else None, visible=len(own) > 1)

    def _whole(self, request: gr.Request, job: WebJob | None) -> list[Any]:
        """All parts, as `_connect` lists them."""
        upload = markup.upload(self.options, compact=job is not None)
        if job is None:
            return [upload, self._videos(request, None), None, "", gr.update(visible=False), *[gr.skip()] * self.rest]
        self.jobs.use(job)
        moments = self.view.moments(job, job.values)
        middle = round(moments.last / moments.step / 2) * moments.step
        slider = gr.update(maximum=moments.last, step=moments.step, value=middle)
        restore, cancel, status, result, delete, timer, shown, videos = self._moving(request, job, "")
        chosen = {name: job.values.get(name, field.value) for name, field in self.fields.items()}
        shown_only = {"stream": self.view.several(job)}  # nothing to choose from in most files
        fields = [gr.update(value=value, visible=shown_only.get(name, True)) for name, value in chosen.items()]
        return [
            *(
                upload,
                videos,
                job.id,
                shown,
                gr.update(visible=True),
                self.view.facts(job),
                slider,
                self.view.pending(job),
            ),
            *(markup.ESTIMATING, restore, cancel, status, result, delete, timer, *fields),
        ]

    def _moving(self, request: gr.Request, job: WebJob, shown: str) -> list[Any]:
        """The parts that change while a job runs. shown: the state that the browser shows already."""
        active, now = job.state in ACTIVE, f"{job.id} {job.state} {job.number}"
        if now == shown:
            return [gr.skip(), gr.skip(), self.view.status(job), *[gr.skip()] * 5]
        label = {"failed": "Try again", "done": "Restore again"}.get(job.state, "Restore")
        if job.state == "cancelled" and self.jobs.resumable(job):
            label = "Resume"
        return [
            gr.update(value=label, visible=not active),
            gr.update(visible=active),
            self.view.status(job),
            self.view.result(job),
            gr.update(visible=not active),
            gr.update(active=active),
            now,
            self._videos(request, job),
        ]


def _refused(estimate: Any) -> list[Any]:
    """Nothing starts: what `start` returns, with the reason in place of the estimate."""
    return [gr.skip(), gr.skip(), "", *[gr.skip()] * 5, estimate]


def _drawn(control: Control) -> Any:
    """A Gradio component for one option."""
    same = {"label": control.label, "info": control.help or None, "value": control.default, "min_width": 220}
    if control.kind == "choice":
        return gr.Radio(list(zip(control.words or control.choices, control.choices, strict=True)), **same)
    if control.kind == "combo":
        return gr.Dropdown(list(control.choices), allow_custom_value=True, **same)
    if control.kind == "slider":
        return gr.Slider(control.least, control.most, step=control.step, **same)
    if control.kind == "check":
        return gr.Checkbox(**same)
    empty = {"start": "first frame", "end": "last frame"}.get(control.name, "default")  # what an empty field means
    if control.kind == "number":
        return gr.Number(placeholder=empty, **same)
    return gr.Textbox(max_lines=1, placeholder=empty, **same)


def _owner(request: gr.Request) -> str | None:
    """The visitor; None without a cookie, who then owns nothing."""
    token = request.cookies.get(COOKIE, "")
    return owner_of(token) if TOKEN.fullmatch(token) else None


def _number(value: Any) -> float:
    """A slider's value, whatever a visitor sends."""
    return float(value) if isinstance(value, int | float) and 0 <= value < 1e6 else 0.0
