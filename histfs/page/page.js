// A page to listen on. The clips stand as JSON in the document; only those on the screen are in the
// DOM. Text reaches the DOM as text alone (textContent): nothing here parses HTML.
"use strict";
(() => {
  // Rows above and below the screen that are in the DOM, too.
  const AROUND = 4;
  // A longer text is cut, in UTF-16 units, until it is opened or played.
  const LONG = 1200;
  // Seconds for which a word stays lit after its end while no other one begins.
  const AFTERGLOW = 0.4;

  const find = (id) => document.getElementById(id);
  const data = JSON.parse(find("data").textContent);
  const clips = data.clips.map(([when, voices, audio, text, words, seconds]) => ({
    when, voices, audio, text, words, seconds, height: 0, at: 0, isOpen: false, sought: null,
  }));
  const scroller = find("scroller"), feed = find("feed"), search = find("search");
  const voice = find("voice"), from = find("from"), to = find("to");

  let shown = [];          // numbers of the clips that pass the filters, in their order
  let tops = [0];          // of each of them in pixels, and the height of all
  let chosen = -1;         // the clip that the keys are about
  let loaded = -1;         // the clip whose audio is loaded
  let pending = null;      // seconds to seek to once its metadata are there
  const places = new Map();  // clip number -> place among those shown
  const rows = new Map();    // clip number -> its elements

  const audio = new Audio();
  audio.preload = "none";

  // Texts

  const folded = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  const clock = (seconds) => {
    const whole = Math.floor(seconds), rest = String(whole % 60).padStart(2, "0");
    const minutes = Math.floor(whole / 60) % 60, hours = Math.floor(whole / 3600);
    return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
  };
  const nameOf = (clip) => clip.voices.map((each) => data.voices[each]).join(", ") || "No voice";
  const number = (count) => count.toLocaleString("en");

  // Times of words: four numbers each; the gap in the text before it, its length, the milliseconds
  // since the last one began, and those that it takes.
  const wordsOf = (clip) => {
    if (clip.decoded === undefined) {
      clip.decoded = [];
      for (let i = 0, end = 0, begin = 0; i < clip.words.length; i += 4) {
        const start = end + clip.words[i];
        end = start + clip.words[i + 1];
        begin += clip.words[i + 2];
        clip.decoded.push({ start, end, begin: begin / 1000, until: (begin + clip.words[i + 3]) / 1000 });
      }
    }
    return clip.decoded;
  };
  const wordAt = (words, time) => {
    let low = 0, high = words.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (words[middle].begin <= time) low = middle + 1; else high = middle;
    }
    return low > 0 && time < words[low - 1].until + AFTERGLOW ? low - 1 : -1;
  };
  const durationOf = (number) => {
    const clip = clips[number];
    const exact = number === loaded ? audio.duration : NaN;
    return Number.isFinite(exact) && exact > 0 ? exact : clip.seconds;
  };

  // Rows

  const make = (tag, properties, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };

  const writeText = (row, clip) => {
    const cut = !clip.isOpen && clip.text.length > LONG;
    // Not within a character of two units.
    const end = cut ? LONG - (/[\uD800-\uDBFF]/.test(clip.text[LONG - 1]) ? 1 : 0) : clip.text.length;
    row.words = [];
    const pieces = [];
    let at = 0;
    for (const [i, word] of wordsOf(clip).entries()) {
      if (word.end > end) break;
      if (word.start > at) pieces.push(clip.text.slice(at, word.start));
      const span = make("span", { className: "word", textContent: clip.text.slice(word.start, word.end) });
      span.dataset.word = i;
      row.words.push(span);
      pieces.push(span);
      at = word.end;
    }
    if (at < end) pieces.push(clip.text.slice(at, end));
    if (cut) pieces.push("…");
    row.text.replaceChildren(...pieces);
    row.lit = -1;
    if (row.more) {
      row.more.textContent = cut ? `Show all ${number(clip.text.length)} characters` : "Show less";
      row.more.setAttribute("aria-expanded", String(!cut));
    }
  };

  const makeRow = (index) => {
    const clip = clips[index], name = nameOf(clip);
    const heading = make("h2", { id: `name-${index}` }, make("span", { textContent: name, dir: "auto" }),
      make("time", { dateTime: clip.when.replace(" ", "T"), textContent: clip.when }));
    const row = { element: null, lit: -1, words: [] };
    row.text = make("p", { className: "text", dir: "auto", id: `text-${index}` });
    const box = make("div", { className: "clip" }, heading);
    if (clip.audio) {
      const about = `${name}, ${clip.when}`;
      row.play = make("button", { type: "button", className: "play" });
      row.seek = make("input", { type: "range", min: 0, step: 0.01 });
      row.seek.setAttribute("aria-label", `Position in ${about}`);
      row.clock = make("span", { className: "clock" });
      const file = make("a", { href: clip.audio, textContent: "File" });
      file.setAttribute("aria-label", `File of ${about}`);
      box.append(make("div", { className: "player" }, row.play, row.seek, row.clock, file));
      row.play.addEventListener("click", () => { choose(index); toggle(index); });
      row.seek.addEventListener("input", () => { seek(index, Number(row.seek.value)); });
      row.text.addEventListener("click", (event) => {
        const word = event.target.dataset.word;
        if (word === undefined || !getSelection().isCollapsed) return;
        choose(index);
        seek(index, wordsOf(clip)[word].begin);
        start(index);
      });
    } else {
      box.append(make("p", { className: "none", textContent: "No audio" }));
    }
    if (clip.text) box.append(row.text);
    if (clip.text.length > LONG) {
      row.more = make("button", { type: "button", className: "more" });
      row.more.setAttribute("aria-controls", row.text.id);
      row.more.addEventListener("click", () => {
        clip.isOpen = !clip.isOpen;
        writeText(row, clip);
        update(index);
      });
      box.append(row.more);
    }
    writeText(row, clip);
    row.element = make("article", {}, box);
    row.element.dataset.clip = index;
    row.element.setAttribute("aria-labelledby", heading.id);
    if (clip.text) row.element.setAttribute("aria-describedby", row.text.id);
    return row;
  };

  // Show the state of a clip in its row: playing or not, its position, the word that is spoken.
  const update = (index) => {
    const row = rows.get(index), clip = clips[index];
    if (row === undefined) return;
    const isLoaded = index === loaded, isPlaying = isLoaded && !audio.paused;
    row.element.classList.toggle("chosen", index === chosen);
    row.element.tabIndex = index === chosen || (chosen < 0 && places.get(index) === 0) ? 0 : -1;
    if (!clip.audio) return;
    const duration = durationOf(index);
    const time = isLoaded ? pending ?? audio.currentTime : 0;
    row.element.classList.toggle("playing", isPlaying);
    row.play.setAttribute("aria-label", `${isPlaying ? "Pause" : "Play"} ${nameOf(clip)}, ${clip.when}`);
    row.seek.disabled = !duration;
    row.seek.max = duration || 1;
    row.seek.value = time;
    const text = duration ? `${clock(time)} / ${clock(duration)}` : isLoaded ? clock(time) : "";
    row.seek.setAttribute("aria-valuetext", text.replace("/", "of") || "not known before it is played");
    row.clock.textContent = text;
    // Not before there is sound.
    const sounds = time > 0 || (isPlaying && audio.readyState >= HTMLMediaElement.HAVE_FUTURE_DATA);
    light(row, isLoaded && sounds ? wordAt(wordsOf(clip), time) : -1);
  };

  const isVisible = (element) => {
    const box = element.getBoundingClientRect(), frame = scroller.getBoundingClientRect();
    return box.bottom > frame.top && box.bottom <= frame.bottom && box.top >= frame.top;
  };
  const light = (row, word) => {
    if (row.lit === word) return;
    const old = row.words[row.lit], lit = row.words[word];
    // The page follows the words as long as the listener has not scrolled away from them.
    const follows = old !== undefined && isVisible(old);
    old?.classList.remove("lit");
    lit?.classList.add("lit");
    row.lit = word;
    if (follows && lit !== undefined && !isVisible(lit)) lit.scrollIntoView({ block: "center" });
  };

  // The list: each row has its place by the heights of those above, known or estimated

  const heightOf = (clip) => clip.height || 118 + 24 * Math.ceil(Math.min(clip.text.length, LONG) / 95);
  const place = () => {
    tops = new Float64Array(shown.length + 1);
    for (let i = 0; i < shown.length; i++) tops[i + 1] = tops[i] + heightOf(clips[shown[i]]);
    feed.style.height = `${tops[shown.length]}px`;
    for (const [index, row] of rows) {
      if (places.has(index)) row.element.style.top = `${tops[places.get(index)]}px`;
    }
  };
  const placeAt = (y) => {
    let low = 0, high = shown.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (tops[middle + 1] <= y) low = middle + 1; else high = middle;
    }
    return low;
  };

  const render = () => {
    const top = scroller.scrollTop;
    const first = Math.max(0, placeAt(top) - AROUND);
    const last = Math.min(shown.length, placeAt(top + scroller.clientHeight) + 1 + AROUND);
    const wanted = new Set(shown.slice(first, last));
    const focused = document.activeElement?.closest?.("article");
    // The row that has the focus keeps it, wherever it is.
    if (focused && places.has(Number(focused.dataset.clip))) wanted.add(Number(focused.dataset.clip));
    for (const [index, row] of rows) {
      if (!wanted.has(index)) {
        sizes.unobserve(row.element);
        row.element.remove();
        rows.delete(index);
      }
    }
    let next = feed.firstElementChild;
    for (const index of [...wanted].sort((a, b) => places.get(a) - places.get(b))) {
      let row = rows.get(index);
      if (row === undefined) {
        row = makeRow(index);
        rows.set(index, row);
        feed.insertBefore(row.element, next);
        sizes.observe(row.element);
        update(index);
      } else {
        next = row.element.nextElementSibling;
      }
      row.element.style.top = `${tops[places.get(index)]}px`;
      row.element.setAttribute("aria-posinset", places.get(index) + 1);
      row.element.setAttribute("aria-setsize", shown.length);
    }
  };

  const sizes = new ResizeObserver((entries) => {
    let moved = 0, changed = false;
    const first = placeAt(scroller.scrollTop);
    for (const { target } of entries) {
      const clip = clips[target.dataset.clip], height = target.offsetHeight;
      if (!target.isConnected || !height || height === heightOf(clip)) continue;
      // What is on the screen stays where it is when rows above it turn out higher.
      if (places.get(Number(target.dataset.clip)) < first) moved += height - heightOf(clip);
      clip.height = height;
      changed = true;
    }
    if (!changed) return;
    place();
    if (moved) scroller.scrollTop += moved;
    render();
  });
  let width = scroller.clientWidth;
  addEventListener("resize", () => {
    if (scroller.clientWidth !== width) {
      width = scroller.clientWidth;
      const first = shown[placeAt(scroller.scrollTop)];
      // Texts have other lines now; rows that are in the DOM are measured.
      for (const [index, clip] of clips.entries()) {
        clip.height = rows.get(index)?.element.offsetHeight ?? 0;
      }
      place();
      scroller.scrollTop = tops[places.get(first) ?? 0];
    }
    render();
  });

  const show = (index) => {
    const at = places.get(index);
    if (at === undefined) return;
    // Twice: the rows that this brings in have other heights than was estimated.
    for (let i = 0; i < 2; i++) {
      const top = tops[at], bottom = tops[at + 1], height = scroller.clientHeight;
      if (top < scroller.scrollTop || bottom - top > height) scroller.scrollTop = top;
      else if (bottom > scroller.scrollTop + height) scroller.scrollTop = bottom - height;
      render();
      let changed = false;
      for (const [each, row] of rows) {
        const real = row.element.offsetHeight;
        if (real && real !== heightOf(clips[each])) { clips[each].height = real; changed = true; }
      }
      if (!changed) break;
      place();
    }
  };

  // Filters

  const filter = () => {
    const words = folded(search.value).split(/\s+/).filter(Boolean);
    const wanted = voice.value === "" ? -1 : Number(voice.value);
    const passes = (clip) => {
      if (wanted >= 0 && !clip.voices.includes(wanted)) return false;
      const day = clip.when.slice(0, 10);
      if ((from.value && day < from.value) || (to.value && day > to.value)) return false;
      if (!words.length) return true;
      clip.sought ??= folded(`${clip.text}\n${nameOf(clip)}\n${clip.when}`);
      return words.every((word) => clip.sought.includes(word));
    };
    feed.setAttribute("aria-busy", "true");
    shown = [];
    places.clear();
    clips.forEach((clip, index) => {
      if (passes(clip)) { places.set(index, shown.length); shown.push(index); }
    });
    if (!places.has(chosen)) chosen = -1;
    place();
    scroller.scrollTop = chosen < 0 ? 0 : tops[places.get(chosen)];
    render();
    rows.forEach((row, index) => update(index));
    feed.setAttribute("aria-busy", "false");
    const all = `${number(clips.length)} ${clips.length === 1 ? "clip" : "clips"}`;
    find("count").textContent = shown.length === clips.length ? all : `${number(shown.length)} of ${all}`;
  };

  // Sound

  const choose = (index) => {
    const before = chosen;
    chosen = index;
    // Before anything was chosen, the first row is the one that Tab reaches.
    if (before < 0 && shown.length) update(shown[0]);
    update(before);
    update(index);
  };
  const load = (index) => {
    if (loaded === index) return;
    const before = loaded;
    audio.pause();
    loaded = index;
    pending = null;
    audio.src = clips[index].audio;
    update(before);
  };
  const seek = (index, seconds) => {
    load(index);
    find("problem").textContent = "";
    if (audio.readyState > 0) audio.currentTime = seconds;
    else pending = seconds;
    update(index);
  };
  const start = (index) => {
    load(index);
    find("problem").textContent = "";
    const clip = clips[index], row = rows.get(index);
    if (!clip.isOpen && clip.text.length > LONG) {
      clip.isOpen = true;
      if (row !== undefined) writeText(row, clip);
    }
    // What failed once may be there now.
    if (audio.error !== null) audio.load();
    // An error event tells what fails; a play that another one replaces is no failure.
    audio.play().catch(() => {});
  };
  const toggle = (index) => {
    if (!clips[index].audio) return;
    if (index === loaded && !audio.paused) audio.pause();
    else start(index);
  };
  const tell = () => {
    const clip = clips[loaded];
    find("now").textContent = clip ? `${audio.paused ? "Paused" : "Playing"}: ${nameOf(clip)}, ${clip.when}` : "";
    update(loaded);
  };
  const follow = () => {
    update(loaded);
    if (!audio.paused) requestAnimationFrame(follow);
  };
  audio.addEventListener("loadedmetadata", () => {
    if (pending !== null) audio.currentTime = pending;
    pending = null;
    update(loaded);
  });
  audio.addEventListener("play", () => { tell(); requestAnimationFrame(follow); });
  audio.addEventListener("pause", tell);
  for (const event of ["seeked", "durationchange", "timeupdate"]) {
    audio.addEventListener(event, () => update(loaded));
  }
  audio.addEventListener("ended", () => {
    tell();
    const next = nextWithAudio(loaded, 1);
    if (find("on").checked && next !== null) { choose(next); show(next); start(next); }
  });
  audio.addEventListener("error", () => {
    const clip = clips[loaded];
    find("problem").textContent = `The audio of ${nameOf(clip)}, ${clip.when}, can't be played: its file is `
      + "not there, or not of a kind that this browser plays.";
    audio.pause();
    tell();
  });

  // Keys

  const nextWithAudio = (index, step) => {
    const at = places.get(index);
    if (at === undefined) return null;
    for (let i = at + step; i >= 0 && i < shown.length; i += step) {
      if (clips[shown[i]].audio) return shown[i];
    }
    return null;
  };
  const move = (step) => {
    const at = places.get(chosen) ?? (step > 0 ? -1 : shown.length);
    const next = shown[Math.min(Math.max(at + step, 0), shown.length - 1)];
    if (next === undefined) return;
    choose(next);
    show(next);
    rows.get(next).element.focus({ preventScroll: true });
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
    const control = event.target.closest?.("input, select, button, a");
    if (event.key === "Escape" && control === search) {
      search.blur();
    } else if (control?.matches("[type=search], [type=date], select")) {
      return;
    } else if (event.key === "/") {
      search.focus();
      search.select();
    } else if (event.key === "j" || event.key === "k") {
      move(event.key === "j" ? 1 : -1);
    } else if (event.key === " " && (!control || control.matches("[type=range]"))) {
      const index = chosen >= 0 ? chosen : loaded >= 0 ? loaded : shown[0];
      if (index !== undefined) { choose(index); toggle(index); }
    } else {
      return;
    }
    event.preventDefault();
  });

  // Start

  data.voices.forEach((name, index) => voice.append(make("option", { value: index, textContent: name })));
  const days = clips.map((clip) => clip.when.slice(0, 10)).sort();
  for (const input of [from, to]) {
    input.min = days[0] ?? "";
    input.max = days[days.length - 1] ?? "";
    input.addEventListener("input", filter);
  }
  search.addEventListener("input", filter);
  voice.addEventListener("input", filter);
  let waits = false;
  scroller.addEventListener("scroll", () => {
    if (waits) return;
    waits = true;
    requestAnimationFrame(() => { waits = false; render(); });
  }, { passive: true });
  feed.addEventListener("focusin", (event) => {
    const article = event.target.closest("article");
    if (article && Number(article.dataset.clip) !== chosen) choose(Number(article.dataset.clip));
  });
  filter();
})();
