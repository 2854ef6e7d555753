"use strict";
// A rater's page. What the server sends is shown as text only; what a rater answers is kept in the browser's own storage
// until the server has it on its disk.
(() => {
  const LONGEST_WAIT_MS = 15000, ANSWER_WITHIN_MS = 20000, PRELOADED = 3, QUIET_ANSWERS = 10, SHOWN_MS = 140, AGAIN_MS = 3000;
  const NEVER_TAKEN = [400, 404, 409, 413, 415];  // the server will not take such an answer later either
  const WARNINGS = {
    fast: "Your last answers came very fast. Please look at each picture before you answer.",
    checks: "Some of your answers differ from what is known of those pictures. Please read the instruction again.",
  };
  const by = id => document.getElementById(id);
  const screens = ["stopped", "welcome", "rating", "complete", "thanks"].map(by);
  const scores = [...document.querySelectorAll(".scores button")];
  const sleep = ms => new Promise(done => setTimeout(done, ms));

  // Answers that the server does not have yet, one entry each, so that two tabs do not overwrite each other's.
  class Unsent {
    constructor(rater) {
      this.prefix = `zeroguide-study:${rater}:`;
      this.memory = new Map();  // where a browser forbids storage
      this.last = 0;
    }

    // Keys sort as the answers were given.
    add(answer) {
      this.last = Math.max(this.last + 1, Date.now());
      const random = [...crypto.getRandomValues(new Uint8Array(9))].map(byte => byte.toString(16).padStart(2, "0")).join("");
      const key = `${this.last.toString(36).padStart(9, "0")}-${random}`;
      const text = JSON.stringify({ ...answer, key });
      try { localStorage.setItem(this.prefix + key, text); } catch { this.memory.set(this.prefix + key, text); }
    }

    all() {
      const found = new Map(this.memory);
      try {
        for (const name of Object.keys(localStorage)) if (name.startsWith(this.prefix)) found.set(name, localStorage.getItem(name));
      } catch { /* then there is memory only */ }
      return [...found.keys()].sort().map(name => {
        try { return JSON.parse(found.get(name)); } catch { return { key: name.slice(this.prefix.length) }; }
      });
    }

    drop(key) {
      this.memory.delete(this.prefix + key);
      try { localStorage.removeItem(this.prefix + key); } catch { /* was never there */ }
    }
  }

  // Seconds that a question was to be seen.
  class Watch {
    constructor() { this.total = 0; this.since = null; }
    run(on) {
      const now = performance.now();
      if (this.since !== null) this.total += (now - this.since) / 1000;
      this.since = on ? now : null;
    }
    get seconds() { this.run(this.since !== null); return this.total; }
  }

  let state, unsent, place = 0, watch = new Watch(), ready = false, chosen = false, sending = null, quiet = 0, shown = null;

  async function ask(path, body) {
    const options = { credentials: "same-origin", cache: "no-store", signal: AbortSignal.timeout(ANSWER_WITHIN_MS) };
    if (body !== undefined) Object.assign(options, {
      method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" },
    });
    const response = await fetch(path, options);
    if (!response.headers.has("X-Request-ID")) throw new Error("a proxy answered, or somebody else's server");
    return { status: response.status, body: response.ok ? await response.json() : null };
  }

  // The first answer that is the server's last word: what is refused for now, or does not arrive, is asked again.
  async function insist(path, body) {
    for (let wait = 500; ; wait = Math.min(2 * wait, LONGEST_WAIT_MS)) {
      try {
        const answer = await ask(path, body);
        if (answer.status < 500 && answer.status !== 429) { online(true); return answer; }
      } catch { /* no network, or no server */ }
      online(false);
      await Promise.race([sleep(wait), new Promise(done => addEventListener("online", done, { once: true }))]);
    }
  }

  function online(yes) {
    const count = unsent ? unsent.all().length : 0;
    const text = yes ? "" : count ? `No connection: ${count} answer${count === 1 ? "" : "s"} kept here, to be sent` : "No connection; trying again";
    by("unsent").hidden = yes;
    if (by("unsent").textContent !== text) by("unsent").textContent = text;
  }

  function show(screen, focused = screen.querySelector("h1")) {
    screens.forEach(other => { other.hidden = other !== screen; });
    const rating = screen.id === "rating";
    by("explain").hidden = !rating && screen.id !== "complete";
    by("count").hidden = by("bar").hidden = by("explain").hidden;
    shown = screen.id;
    tick();
    if (focused) focused.focus({ preventScroll: true });
    scrollTo(0, 0);
  }

  function stop(title, text) {
    by("stopped").querySelector("h1").textContent = title;
    by("stopped").querySelector("p").textContent = text;
    show(by("stopped"));
  }

  const refused = () => stop("Please open your link again", "This page opens with the link that you were given. What you answered is kept.");

  function notice(text) {
    by("notice").querySelector("p").textContent = text;
    by("notice").hidden = !text;
  }

  // Time runs while the question can be seen and nothing lies over it.
  const covered = () => document.visibilityState !== "visible" || by("explained").open || by("large").open;
  function tick() { watch.run(shown === "rating" && ready && !covered()); }

  const questions = () => state.batch.questions;
  const here = question => state.batch !== null && questions()[place] === question;
  const left = () => questions().findIndex(question => question.score === null);

  function count() {
    const done = questions().filter(question => question.score !== null).length;
    by("bar").max = questions().length;
    by("bar").value = done;
    by("count").textContent = shown === "rating" ? `${place + 1} of ${questions().length}` : `${done} of ${questions().length}`;
  }

  function take(found) {
    state = found;
    unsent = unsent && unsent.prefix.includes(`:${state.rater}:`) ? unsent : new Unsent(state.rater);
    if (!state.batch) return;
    const known = new Map(questions().map(question => [question.id, question]));
    for (const { question, score, seconds } of unsent.all()) {
      if (known.has(question)) Object.assign(known.get(question), { score, seconds });
    }
  }

  function proceed() {
    if (!state.batch) return state.finished ? thank() : welcome();
    return left() < 0 ? complete() : open(left());
  }

  const welcome = () => show(by("welcome"));

  function thank() {
    const sets = state.finished === 1 ? "1 set" : `${state.finished} sets`;
    by("sum").textContent = `There are no more questions for you at present. You have handed in ${sets} of questions; all your answers are stored, and you can close this page.`;
    show(by("thanks"));
  }

  function complete() {
    by("complete").querySelector("h1").textContent = `All ${questions().length} questions are answered`;
    show(by("complete"));
    count();
  }

  const address = question => `pictures/${encodeURIComponent(question.id)}`;

  function open(number) {
    place = number;
    const question = questions()[place];
    watch = new Watch();
    watch.total = question.seconds;
    ready = chosen = false;
    by("label").textContent = question.label;
    scores.forEach(button => button.setAttribute("aria-pressed", String(question.score === Number(button.dataset.score))));
    by("back").disabled = place === 0;
    by("forward").disabled = question.score === null;
    by("said").textContent = `Question ${place + 1} of ${questions().length}: ${question.label}`;
    load(question);
    show(by("rating"));
    count();
  }

  async function load(question) {
    const picture = by("picture");
    by("broken").hidden = true;
    picture.classList.add("loading");
    picture.src = address(question);
    await picture.decode().catch(() => null);
    if (!here(question)) return;
    if (!picture.naturalWidth) {
      by("broken").hidden = false;
      setTimeout(() => { if (here(question) && !ready) load(question); }, AGAIN_MS);
      return;
    }
    picture.classList.remove("loading");
    ready = true;
    tick();
    questions().slice(place + 1, place + 1 + PRELOADED).forEach(next => { new Image().src = address(next); });
  }

  async function choose(score) {
    if (shown !== "rating" || !ready || chosen || covered()) return;
    const question = questions()[place];
    chosen = true;
    question.score = score;
    question.seconds = watch.seconds;
    unsent.add({ question: question.id, score, seconds: Math.round(question.seconds * 1000) / 1000 });
    scores.forEach(button => button.setAttribute("aria-pressed", String(Number(button.dataset.score) === score)));
    count();
    send();
    await sleep(SHOWN_MS);  // for the eye to see which
    if (here(question) && shown === "rating") forward();
  }

  function forward() {
    if (questions()[place].score === null) return;
    if (place + 1 < questions().length) open(place + 1);
    else if (left() >= 0) open(left());
    else complete();
  }

  function back() {
    if (shown === "complete") open(questions().length - 1);
    else if (shown === "rating" && place > 0) open(place - 1);
  }

  // Send what is unsent, in order, one at a time; one round at a time.
  function send() {
    sending ??= sendAll().finally(() => { sending = null; });
    return sending;
  }

  async function sendAll() {
    let lost = false;
    for (let answer; (answer = unsent.all()[0]);) {
      const { status, body } = await insist("answer", answer);
      if (status === 403) return refused();
      if (status === 200 || NEVER_TAKEN.includes(status)) unsent.drop(answer.key);
      else await sleep(LONGEST_WAIT_MS);
      if (body) warn(body.warnings);
      lost ||= body?.released;
    }
    if (lost) {
      notice("You were away for long, so these questions were given to somebody else. Your answers are kept. Here are others.");
      next(null);
    }
  }

  function warn(warnings) {
    quiet--;
    if (!warnings.includes("fast") || quiet > 0) return;
    notice(WARNINGS.fast);
    quiet = QUIET_ANSWERS;
  }

  // Hand in what is done, if anything is, and go on with another batch.
  async function next(done) {
    const button = by("hand-in");
    button.disabled = true;
    try {
      if (done !== null) await send();
      if (shown === "stopped") return;
      const { status, body } = await insist("batch", { done });
      if (status === 403) return refused();
      if (!body) return begin();  // it changed elsewhere: see what there is
      const warned = body.warnings.filter(name => WARNINGS[name] && body.batch);
      take(body);
      if (done !== null) notice(warned.map(name => WARNINGS[name]).join(" "));
      if (state.batch) proceed(); else thank();
    } finally {
      button.disabled = false;
    }
  }

  async function begin() {
    const { status, body } = await insist("state");
    if (!body) return status === 403 ? refused() : stop("Something went wrong", "Please reload this page. What you answered is kept.");
    take(body);
    const resumed = state.batch && questions().some(question => question.score !== null);
    await send();
    if (shown === "stopped") return;
    if (!state.batch && state.finished) return next(null);
    proceed();
    if (resumed && shown === "rating") by("said").textContent = `Welcome back. ${by("said").textContent}`;
  }

  // The token stands behind the #, where no server and no log sees it, and leaves the address once it was used.
  async function enter() {
    const token = location.hash.slice(1);
    if (!token) return begin();
    const { status, body } = await insist("enter", { token });
    history.replaceState(null, "", location.pathname + location.search);
    if (!body) return stop("This link does not open anything", status === 403 ? "Please check that it is whole, or ask for another one." : "Please try it again in a minute.");
    if (body.organiser) return location.replace("progress");
    return begin();
  }

  const instruction = by("instruction");
  document.querySelectorAll(".instruction").forEach(element => {
    element.fill = () => { if (!element.firstChild) element.append(instruction.content.cloneNode(true)); };
  });
  new MutationObserver(() => { if (!by("welcome").hidden) by("welcome").querySelector(".instruction").fill(); })
    .observe(by("welcome"), { attributes: true });

  function explain() {
    by("explained").querySelector(".instruction").fill();
    by("explained").showModal();
    by("explained").scrollTop = 0;
    tick();
  }

  function enlarge() {
    if (!ready) return;
    by("large").querySelector("img").src = by("picture").src;
    by("large").showModal();
    by("large").scrollTo((by("large").scrollWidth - by("large").clientWidth) / 2, 0);
    tick();
  }

  scores.forEach(button => button.addEventListener("click", () => choose(Number(button.dataset.score))));
  by("start").addEventListener("click", () => next(null));
  by("more").addEventListener("click", () => next(null));
  by("hand-in").addEventListener("click", () => next(state.batch.id));
  by("back").addEventListener("click", back);
  by("review").addEventListener("click", back);
  by("forward").addEventListener("click", forward);
  by("explain").addEventListener("click", explain);
  by("enlarge").addEventListener("click", enlarge);
  by("explained").querySelector("button").addEventListener("click", () => by("explained").close());
  by("large").querySelector("button").addEventListener("click", () => by("large").close());
  by("notice").querySelector("button").addEventListener("click", () => notice(""));
  for (const dialog of [by("explained"), by("large")]) dialog.addEventListener("close", tick);
  document.addEventListener("visibilitychange", tick);
  addEventListener("hashchange", () => location.reload());  // another link in the same tab

  const keys = { ArrowLeft: back, Backspace: back, ArrowRight: () => shown === "rating" && forward(), i: explain, z: () => shown === "rating" && enlarge() };
  document.addEventListener("keydown", event => {
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || covered() || !["rating", "complete"].includes(shown)) return;
    if (/^[0-3]$/.test(event.key)) choose(Number(event.key));
    else if (Object.hasOwn(keys, event.key)) keys[event.key]();
    else if (event.key === "Enter" && shown === "complete" && event.target.tagName !== "BUTTON") by("hand-in").click();
    else return;
    event.preventDefault();
  });

  enter();
})();
