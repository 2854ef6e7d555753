"use strict";
(() => {
  const KINDS = ["keep", "merge", "rename", "split", "drop"];
  const before = JSON.parse(document.body.dataset.decisions);
  const cards = [...document.querySelectorAll(".label-card")];
  const names = cards.map(card => card.dataset.name);
  const made = [];  // decisions of this visit, oldest first
  let copied = 0;

  // The file's decisions with this visit's behind them; a later one on the same label takes the place of an earlier.
  const whole = () => {
    const all = { keep: new Set(before.keep), merge: new Map(), rename: new Map(Object.entries(before.rename || {})), split: (before.split || []).map(g => [...g]), drop: new Set(before.drop) };
    for (const [name, texts] of Object.entries(before.merge || {})) all.merge.set(name, new Set(texts));
    const forget = text => {
      all.keep.delete(text);
      all.drop.delete(text);
      for (const [name, texts] of all.merge) if (texts.delete(text) && !texts.size) all.merge.delete(name);
    };
    for (const { kind, name, from, to } of made) {
      if (kind === "keep") { forget(name); all.keep.add(name); }
      if (kind === "drop") { forget(name); all.merge.delete(name); all.drop.add(name); }
      if (kind === "rename") all.rename.set(name, to);
      if (kind === "split") { forget(to); all.split.push([from, to]); }
      if (kind === "merge") { forget(name); all.drop.delete(to); if (!all.merge.has(to)) all.merge.set(to, new Set()); all.merge.get(to).add(name); }
    }
    return all;
  };

  // JSON's double-quoted strings are YAML's; what YAML does not print is written as an escape.
  const quoted = text => JSON.stringify(text).replace(/[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g, c => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
  const list = texts => "[" + [...texts].map(quoted).join(", ") + "]";
  const yaml = all => {
    const lines = ["decisions:"];
    if (all.keep.size) lines.push("  keep: " + list(all.keep));
    if (all.merge.size) lines.push("  merge:", ...[...all.merge].map(([name, texts]) => "    " + quoted(name) + ": " + list(texts)));
    if (all.rename.size) lines.push("  rename:", ...[...all.rename].map(([name, to]) => "    " + quoted(name) + ": " + quoted(to)));
    if (all.split.length) lines.push("  split:", ...all.split.map(group => "    - " + list(group)));
    if (all.drop.size) lines.push("  drop: " + list(all.drop));
    return lines.join("\n") + "\n";
  };

  const basket = document.querySelector(".basket"), area = basket.querySelector("textarea");
  const WORDS = {
    keep: () => "stays a label of its own", drop: () => "is dropped", rename: d => "is called " + d.to,
    merge: d => "joins " + d.to, split: d => d.to + " becomes a label of its own",
  };
  const show = () => {
    for (const card of cards) {
      const mine = made.filter(d => d.name === card.dataset.name), todo = card.querySelector(".todo");
      card.classList.toggle("decided", mine.length > 0);
      todo.hidden = mine.length === 0;
      todo.textContent = mine.map(d => WORDS[d.kind](d)).join(" · ");
    }
    basket.hidden = made.length === 0;
    basket.querySelector(".sum").textContent = made.length + (made.length === 1 ? " decision" : " decisions");
    area.value = yaml(whole());
    search();
  };
  const decide = decision => {
    const same = made.findIndex(d => d.kind === decision.kind && d.name === decision.name && (d.kind !== "split" || d.to === decision.to));
    if (same >= 0) made.splice(same, 1);
    made.push(decision);
    show();
  };

  const dialog = document.querySelector(".ask"), answer = dialog.querySelector(".answer"), options = document.querySelector("#names");
  let asked = null;
  const ask = (question, value, withNames, then) => {
    dialog.querySelector(".question").textContent = question;
    answer.value = value;
    options.replaceChildren(...(withNames ? names.map(name => Object.assign(document.createElement("option"), { value: name })) : []));
    asked = then;
    dialog.showModal();
    answer.select();
  };
  // On submit, not on close: the dialog tells of its closing some time after it, and what was decided is to stand at once.
  const form = dialog.querySelector("form"), agree = form.querySelector(".primary");
  answer.addEventListener("keydown", event => {
    if (event.key === "Enter") { event.preventDefault(); form.requestSubmit(agree); }
  });
  form.addEventListener("submit", event => {
    const text = answer.value.trim();
    if (event.submitter === agree && text) asked(text);
  });

  document.querySelector(".grid").addEventListener("click", event => {
    const button = event.target.closest("[data-do]");
    if (!button) return;
    const name = button.closest(".label-card").dataset.name, kind = button.dataset.do;
    if (kind === "keep" || kind === "drop") decide({ kind, name });
    if (kind === "split") decide({ kind, name, from: button.dataset.other, to: button.parentElement.dataset.text });
    if (kind === "rename") ask("Call " + name, name, false, to => { if (to !== name) decide({ kind, name, to }); });
    if (kind === "merge") ask(name + " is the same as", "", true, to => { if (to !== name) decide({ kind, name, to }); });
  });

  basket.querySelector(".undo").addEventListener("click", () => { made.pop(); show(); });
  const copy = basket.querySelector(".copy");
  copy.addEventListener("click", async () => {
    area.value = yaml(whole());
    const count = made.length;  // what is decided while the clipboard is waited for is not in it
    try {
      await navigator.clipboard.writeText(area.value);
    } catch {  // pages from disk may not be let near the clipboard
      basket.querySelector("details").open = true;
      area.select();
      document.execCommand("copy");
    }
    copied = count;
    copy.textContent = "Copied";
    setTimeout(() => { copy.textContent = "Copy as YAML"; }, 1600);
  });
  addEventListener("beforeunload", event => { if (made.length !== copied) event.preventDefault(); });

  const box = document.querySelector(".search"), found = document.querySelector(".found");
  const filters = [...document.querySelectorAll(".common button")];
  const rows = cards.map(card => [...card.querySelectorAll(".members li")].map(row => [row, row.dataset.text.toLowerCase()]));
  function search() {
    const words = box.value.trim().toLowerCase();
    const marks = filters.filter(f => f.getAttribute("aria-pressed") === "true").map(f => f.dataset.mark);
    let shown = 0;
    cards.forEach((card, i) => {
      let hit = words === "" || card.dataset.name.toLowerCase().includes(words);
      for (const [row, text] of rows[i]) {
        const match = words !== "" && text.includes(words);
        row.classList.toggle("match", match);
        hit ||= match;
      }
      const has = card.dataset.marks.split(" ");
      card.hidden = !(hit && marks.every(mark => mark === "decided" ? card.classList.contains("decided") : has.includes(mark)));
      if (!card.hidden) shown++;
    });
    found.textContent = words === "" && !marks.length ? "" : shown + " of " + cards.length + " labels";
  }
  box.addEventListener("input", search);
  filters.forEach(filter => filter.addEventListener("click", () => {
    filter.setAttribute("aria-pressed", String(filter.getAttribute("aria-pressed") !== "true"));
    search();
  }));
  document.addEventListener("keydown", event => {
    if (event.key === "/" && !dialog.open && document.activeElement !== box) { event.preventDefault(); box.focus(); }
    if (event.key === "Escape" && !dialog.open) {
      box.value = "";
      filters.forEach(filter => filter.setAttribute("aria-pressed", "false"));
      search();
    }
  });
  show();
})();
