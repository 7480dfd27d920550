// Behaviour of the parts of the page that are not Gradio controls. Runs once for each part (`js_on_load`); events are
// caught at the part's root element, because its content is replaced when it changes.

const sayError = (text) => {
  const line = element.querySelector(".drop .error");
  line.textContent = text;
  line.hidden = !text;
};
let sending = null;

const send = (path, body) => {
  const bar = element.querySelector(".sending progress"), words = element.querySelector(".sent");
  const box = element.querySelector(".sending");
  sayError("");
  box.hidden = false;
  bar.value = 0;
  words.textContent = "";
  sending = new XMLHttpRequest();
  sending.open("POST", path);
  sending.upload.onprogress = (event) => {
    bar.value = event.loaded / event.total;
    words.textContent = event.loaded < event.total ? `${Math.floor(100 * bar.value)} %` : "Checking the video";
  };
  sending.onload = () => {
    box.hidden = true;
    if (sending.status === 201) trigger("uploaded");
    else sayError(sending.responseText || "The upload failed.");
  };
  sending.onerror = () => { box.hidden = true; sayError("The connection to the server was lost."); };
  sending.onabort = () => { box.hidden = true; };
  sending.send(body);
};
const sendFile = (file) => {
  if (!file) return;
  const limit = Number(element.querySelector(".drop").dataset.limit);
  if (file.size > limit) sayError(`${file.name} is too large: the limit is ${element.querySelector(".drop").dataset.size}.`);
  else send(`/alanet/upload?name=${encodeURIComponent(file.name)}`, file);
};

const mirror = (change) => {
  const part = element.querySelector(".result"), result = part.querySelector("video.result");
  const input = part.querySelector("video.input"), slow = Number(part.dataset.slow);
  change(result, input, Number(part.dataset.start), slow, part);
};
const place = (result, input, start, slow) => { input.currentTime = start + result.currentTime / slow; };
const shown = (seconds) => `${Math.floor(seconds / 60)}:${(Math.floor(seconds * 10) / 10 % 60).toFixed(1).padStart(4, "0")}`;

const goTo = (timeline, share) => { // the slider does the rest
  const slider = document.querySelector("#moment input[type=range]");
  slider.value = share * Number(timeline.dataset.seconds);
  for (const name of ["input", "change", "pointerup"]) slider.dispatchEvent(new Event(name, { bubbles: true }));
};

window.alanet ??= { // for the events of the page
  held: "", asked: 0, sent: 0,
  watchFocus() { document.addEventListener("focusin", (event) => { this.held = event.target.id; }); },
  keepFocus() { // the button that had it is gone, and the other one is there
    const other = { cancel: "restore", restore: "cancel" }[this.held];
    if (other && document.activeElement === document.body) document.getElementById(other)?.focus({ preventScroll: true });
  },
  busy(on) { document.getElementById("estimate")?.setAttribute("aria-busy", on); },
  ask() { this.asked += 1; this.busy(true); },
  send(given) { this.sent = this.asked; return given; },
  arrived() { if (this.sent === this.asked) this.busy(false); },
};

element.addEventListener("change", (event) => {
  if (event.target.type === "file") { sendFile(event.target.files[0]); event.target.value = ""; }
});
element.addEventListener("click", (event) => {
  if (event.target.closest(".sample")) send("/alanet/sample", null);
  const timeline = event.target.closest(".timeline svg");
  if (timeline) goTo(timeline.parentElement, event.offsetX / timeline.clientWidth);
  if (event.target.closest(".abort")) sending?.abort();
  if (event.target.closest(".play, video")) mirror((result) => (result.paused ? result.play() : result.pause()));
});
element.addEventListener("input", (event) => {
  const frames = event.target.closest(".frames");
  if (frames) frames.style.setProperty("--at", `${event.target.value}%`);
  if (event.target.matches(".seek")) mirror((result) => { result.currentTime = event.target.value * result.duration; });
});
for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  element.addEventListener(name, (event) => {
    const drop = event.target.closest(".drop");
    if (!drop) return;
    event.preventDefault();
    drop.classList.toggle("over", name === "dragenter" || name === "dragover");
    if (name === "drop") sendFile(event.dataTransfer.files[0]);
  });
}
for (const name of ["play", "pause", "seeking", "timeupdate", "loadedmetadata", "error"]) {
  element.addEventListener(name, (event) => {
    if (event.target.tagName !== "VIDEO") return;
    if (name === "error") { event.target.parentElement.classList.add("unplayable"); return; }
    mirror((result, input, start, slow, part) => {
      if (event.target !== result) { if (name === "loadedmetadata") place(result, input, start, slow); return; }
      const button = part.querySelector(".play");
      const late = (start + result.currentTime / slow - input.currentTime) * slow; // seconds of the result
      const catchUp = Math.max(-0.3, Math.min(0.3, late));
      input.playbackRate = (result.playbackRate / slow) * (result.paused ? 1 : 1 + catchUp);
      if (name === "play") input.play();
      if (name === "pause") input.pause();
      if (name !== "timeupdate" || result.paused || Math.abs(late) > 0.3) place(result, input, start, slow);
      button.textContent = result.paused ? "▶" : "❚❚";
      button.setAttribute("aria-label", result.paused ? "Play" : "Pause");
      if (result.duration) part.querySelector(".seek").value = result.currentTime / result.duration;
      part.querySelector(".clock").textContent = `${shown(result.currentTime)} / ${shown(result.duration || 0)}`;
    });
  }, true);
}
