"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const REACH = 28;
  const hidden = new Set();
  const figures = [];
  const make = (name, properties, ...children) => {
    const node = Object.assign(document.createElement(name), properties);
    node.append(...children);
    return node;
  };
  const tip = make("div", { className: "tip", hidden: true });
  tip.setAttribute("role", "status");
  document.body.append(tip);

  // --- figures: words at the pointer, designs that can be hidden -------------------------------

  class Living {
    constructor(figure, points) {
      this.figure = figure;
      this.points = points;
      this.svg = figure.querySelector("svg");
      this.at = -1;
      this.mark = document.createElementNS(SVG, "circle");
      this.mark.setAttribute("class", "mark");
      this.mark.setAttribute("r", "6");
      this.mark.style.display = "none";
      this.svg.append(this.mark);
      const frame = this.svg.parentNode;
      frame.tabIndex = 0;
      frame.setAttribute("role", "group");
      frame.setAttribute("aria-label", "Points of this figure: arrow keys read them");
      frame.addEventListener("pointermove", (event) => this.near(event));
      frame.addEventListener("pointerleave", () => this.leave());
      frame.addEventListener("blur", () => this.leave());
      frame.addEventListener("click", (event) => { this.near(event); this.link(); });
      frame.addEventListener("keydown", (event) => this.key(event));
      const designs = [...new Set(points.map((item) => item[2]))].filter((name) =>
        [...this.svg.querySelectorAll("[data-design]")].some((node) => node.dataset.design === name));
      this.buttons = designs.map((name) => {
        const button = make("button", { type: "button", textContent: name });
        button.dataset.name = name;
        const sample = this.sample(name);
        if (sample) button.prepend(sample);
        button.addEventListener("click", () => {
          if (!hidden.delete(name)) hidden.add(name);
          figures.forEach((other) => other.redraw());
        });
        return button;
      });
      if (designs.length > 1) {
        const chips = make("div", { className: "chips" }, make("span", { textContent: "show:" }), ...this.buttons);
        chips.setAttribute("role", "group");
        chips.setAttribute("aria-label", "Designs shown in the figures");
        figure.prepend(chips);
      }
      this.redraw();
    }

    // a piece of the design's line with its mark, for where the name at the line's end is out of sight
    sample(name) {
      const own = [...this.svg.querySelectorAll("[data-design]")].filter((node) => node.dataset.design === name);
      const line = own.map((node) => node.querySelector(":scope > path")).find((path) =>
        path && path.style.fill === "none" && path.style.stroke);
      if (!line) return null;
      const sample = document.createElementNS(SVG, "svg");
      sample.setAttribute("class", "sample");
      sample.setAttribute("viewBox", "0 0 28 8");
      sample.setAttribute("aria-hidden", "true");
      const stroke = document.createElementNS(SVG, "path");
      stroke.setAttribute("d", "M0 4H28");
      stroke.setAttribute("style", line.getAttribute("style"));
      sample.append(stroke);
      const mark = line.parentNode.querySelector("use");
      if (mark) {
        const copy = mark.cloneNode();
        copy.setAttribute("x", "14");
        copy.setAttribute("y", "4");
        sample.append(copy);
      }
      return sample;
    }

    redraw() {
      for (const node of this.svg.querySelectorAll("[data-design]"))
        node.style.display = hidden.has(node.dataset.design) ? "none" : "";
      for (const button of this.buttons)
        button.setAttribute("aria-pressed", String(!hidden.has(button.dataset.name)));
    }

    near(event) {
      const box = this.svg.getBoundingClientRect();
      const scale = this.svg.viewBox.baseVal.width / box.width;
      const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
      let best = -1, least = REACH;
      this.points.forEach(([px, py, name], number) => {
        const away = Math.hypot(px - x, py - y);
        if (away < least && !hidden.has(name)) { least = away; best = number; }
      });
      if (best < 0) this.leave(); else this.show(best);
    }

    show(number) {
      const [x, y, , words] = this.points[number];
      const box = this.svg.getBoundingClientRect();
      const scale = box.width / this.svg.viewBox.baseVal.width;
      this.at = number;
      this.mark.setAttribute("cx", x);
      this.mark.setAttribute("cy", y);
      this.mark.style.display = "";
      tip.textContent = words;
      tip.hidden = false;
      const left = box.left + x * scale + 12, top = box.top + y * scale - 36;
      const widest = document.documentElement.clientWidth - tip.offsetWidth - 8;
      tip.style.left = `${Math.max(8, Math.min(left, widest)) + window.scrollX}px`;
      tip.style.top = `${top + window.scrollY}px`;
    }

    leave() {
      this.mark.style.display = "none";
      tip.hidden = true;
    }

    link() {
      if (this.at >= 0 && !tip.hidden) history.replaceState(null, "", `#${this.figure.id}.${this.at}`);
    }

    key(event) {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") this.leave();
      if (event.key === "Enter") this.link();
      if (!step) return;
      event.preventDefault();
      const count = this.points.length;
      for (let tries = 0, at = this.at; tries < count; tries++) {
        at = (at + step + count) % count;
        if (!hidden.has(this.points[at][2])) return this.show(at);
      }
    }
  }

  for (const data of document.querySelectorAll("script.points"))
    figures.push(new Living(data.closest("figure"), JSON.parse(data.textContent)));

  // --- explorers: choices over the points that the page holds -----------------------------------

  class Explorer {
    constructor(place, data) {
      this.rows = data.rows;
      this.columns = data.columns;
      this.choices = [];
      this.bars = make("div", { className: "bars" });
      this.bars.setAttribute("role", "status");
      const controls = make("div", { className: "controls" });
      for (const { name, title, slider } of data.choices) {
        const input = slider
          ? make("input", { type: "range", min: 0, step: 1 })
          : make("select", {});
        const shown = make("output", {});
        const label = make("label", {}, make("span", { textContent: title }), input, shown);
        const choice = { at: this.columns.indexOf(name), input, shown, label, slider, values: [] };
        input.addEventListener("input", () => this.redraw());
        this.choices.push(choice);
        controls.append(label);
      }
      place.replaceChildren(controls, this.bars);
      this.redraw();
    }

    value(choice) {
      return choice.slider ? choice.values[Number(choice.input.value)] : choice.values[choice.input.selectedIndex];
    }

    offer(choice, rows) {
      const values = [...new Set(rows.map((row) => row[choice.at]))];
      if (choice.slider) values.sort((a, b) => a - b);
      const before = choice.values.length ? this.value(choice) : undefined;
      const same = values.length === choice.values.length && values.every((v, i) => v === choice.values[i]);
      if (!same) {
        choice.values = values;
        const at = Math.max(0, before === undefined && choice.slider ? values.length >> 1 : values.indexOf(before));
        if (choice.slider) {
          choice.input.max = String(values.length - 1);
          choice.input.value = String(at);
        } else {
          choice.input.replaceChildren(...values.map((value) => make("option", { textContent: value })));
          choice.input.selectedIndex = at;
        }
      }
      choice.label.hidden = values.length < 2;
      const text = Number(this.value(choice)).toLocaleString("en");
      choice.shown.textContent = choice.slider ? text : "";
      choice.input.setAttribute("aria-valuetext", choice.slider ? text : "");
    }

    redraw() {
      let rows = this.rows;
      for (const choice of this.choices) {
        this.offer(choice, rows);
        const value = this.value(choice);
        rows = rows.filter((row) => row[choice.at] === value);
      }
      const [design, ns, low, high] = ["design", "ns", "ns_low", "ns_high"].map((n) => this.columns.indexOf(n));
      rows = [...rows].sort((a, b) => a[ns] - b[ns]);
      const top = Math.max(1e-9, ...rows.map((row) => Math.max(row[ns], row[high] ?? 0)));
      const share = (value) => `${(100 * value) / top}%`;
      this.bars.replaceChildren(...rows.map((row) => {
        const bar = make("i", { className: "bar" });
        bar.style.width = share(row[ns]);
        const lane = make("span", { className: "lane" }, bar);
        let words = `${row[ns].toFixed(2)} ns`;
        if (row[low] !== null) {
          const range = make("i", { className: "range" });
          range.style.left = share(row[low]);
          range.style.width = share(row[high] - row[low]);
          lane.append(range);
          words += ` (${row[low].toFixed(2)} to ${row[high].toFixed(2)})`;
        }
        return make("div", {}, make("b", { textContent: row[design] }), lane, make("span", { textContent: words }));
      }));
    }
  }

  for (const data of document.querySelectorAll("script.explorer"))
    new Explorer(data.previousElementSibling, JSON.parse(data.textContent));

  // --- folds: one of many at a time, all others a line --------------------------------------------

  for (const group of new Set([...document.querySelectorAll("details.fold")].map((node) => node.parentNode))) {
    const folds = [...group.children].filter((node) => node.matches("details.fold"));
    if (folds.length < 2) continue;
    const title = (fold) => fold.querySelector("summary").textContent.trim();
    const select = make("select", {}, ...folds.map((fold) => make("option", { textContent: title(fold) })));
    const open = (chosen) => folds.forEach((fold) => { fold.open = fold === chosen; });
    select.addEventListener("change", () => open(folds[select.selectedIndex]));
    for (const fold of folds)
      fold.addEventListener("toggle", () => { if (fold.open) select.selectedIndex = folds.indexOf(fold); });
    folds[0].before(make("label", { className: "chooser" }, "show ", select));
  }

  // --- places: a point's link, and what a link or the printer needs to be open ------------------

  const go = () => {
    const name = decodeURIComponent(location.hash.slice(1));
    const [place, number] = name.split(".");
    const target = document.getElementById(place);
    if (!target) return;
    for (let node = target; node; node = node.parentElement)
      if (node.tagName === "DETAILS") node.open = true;
    target.scrollIntoView();
    const living = figures.find((one) => one.figure === target);
    if (living && living.points[number]) living.show(Number(number));
  };
  addEventListener("hashchange", go);
  if (location.hash) go();
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("main details:not(.code):not([open])")];
    for (const node of opened) node.open = true;
  });
  addEventListener("afterprint", () => { for (const node of opened) node.open = false; });
})();
